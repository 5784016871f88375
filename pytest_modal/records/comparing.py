"""Comparison of two runs: their records, and the per-item results of their gates by the gates' own statistics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_modal.gate.entries import flip_entries
from pytest_modal.gate.items import read_items
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.figures import Figures
from pytest_modal.gate.judge.findings import category_table
from pytest_modal.gate.judge.flips import flip_table, flips_between
from pytest_modal.gate.judge.joint import joint_test, pooled
from pytest_modal.gate.judge.pairs import Pair, pair
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.verdict import GateResult, judge_arms
from pytest_modal.local.output_dir import RUNS
from pytest_modal.records.reading import read_record
from pytest_modal.report.comparison.files import compare_file
from pytest_modal.report.comparison.model import Comparison, GateComparison, Recorded, Run
from pytest_modal.report.differences import GateChange, differences_between
from pytest_modal.report.html.images import Images
from pytest_modal.report.record import GateEntry


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare the runs of two records.

    Raises
    ------
    RecordError
        One of them can't be read.
    """
    one, two = (_run(path) for path in (before, after))
    differences = differences_between(one.record, two.record)
    images = Images()
    files = tuple(compare_file(each, one, two, images) for each in differences.artifacts)
    comparison = Comparison(one, two, differences, files=files)
    return _with_gates(comparison)


def _run(path: Path) -> Run:
    directory = path.absolute().parent
    return Run(read_record(path), directory.parent if directory.name == RUNS else directory)


def _with_gates(comparison: Comparison) -> Comparison:
    """Return the comparison with what per-item results say."""
    before, after = comparison.before, comparison.after
    was, now = ({each["gate"]: each for each in run.record["gates"]} for run in (before, after))
    differing = {each.gate: each for each in comparison.differences.gates}
    recorded, pairs = list[Recorded](), list[Pair]()
    same = {gate for gate in was.keys() & now.keys() if was[gate]["items"] and was[gate]["items"] == now[gate]["items"]}
    for gate in dict.fromkeys([*was, *now]):
        try:
            pairs.append(_pair(GateChange(gate, was.get(gate), now.get(gate)), before, after))
        except ValueError as error:
            if gate in differing:
                recorded.append(Recorded(differing[gate], str(error).partition("\n")[0]))
        else:
            if gate in same and gate in differing and differing[gate].worse:
                why = "its answers are the same: its baseline or what the test demands is not"
                recorded.append(Recorded(differing[gate], why))
    # Those of the same answers count too: the more gates, the stricter is each, and they did not fall with the others.
    policy = Policy(gates=len(pairs))
    results = [
        judge_arms(each.name, each.after, each.before, demands=_demands(now[each.name]), policy=policy, test="")
        for each in pairs
    ]
    joint = joint_test([part for each in results if (part := pooled(replace(each, recordable=True))) is not None])
    gates = [_compared(*each) for each in zip(pairs, results, strict=True) if each[0].name not in same]
    alone = any(each.fell for each in gates)
    return replace(
        comparison,
        gates=tuple(sorted(gates, key=lambda each: not each.fell)),
        same_gates=len(same),
        recorded=tuple(recorded),
        together=joint.summary if joint is not None and gates else "",
        fell_together=joint is not None and joint.worse and not alone,
    )


def _pair(change: GateChange, before: Run, after: Run) -> Pair:
    """Return the evaluations of a gate in both runs.

    Raises
    ------
    ValueError
        One of the runs has none, or they have no items in common.
    """
    was, now = change.was, change.now
    if was is None or now is None:
        raise ValueError(f"only in the {'later' if was is None else 'earlier'} run")
    if not was["items"] or not now["items"]:
        raise ValueError("no per-item results: the recorded accuracies")
    then, later = read_items(before.root / RUNS, was["items"]), read_items(after.root / RUNS, now["items"])
    return pair(change.gate, then, later, now["test"])


def _demands(gate: GateEntry) -> Demands:
    """Return which change matters to the test. What else it demands is no matter of the other run."""
    demands = gate["result"].get("demands") or {}
    least, higher = demands.get("min_drop"), demands.get("higher_is_better")
    return Demands(
        min_drop=least if isinstance(least, float | int) else Demands.min_drop,
        higher_is_better=higher if isinstance(higher, bool) else True,
    )


def _compared(compared: Pair, result: GateResult) -> GateComparison:
    change, figures = result.change, Figures.of(result)
    assert change is not None, "both runs are compared"
    flips = flips_between(compared.after, compared.before, result.demands)
    notes = [f"  {note}" for note in compared.notes]
    return GateComparison(
        gate=compared.name,
        verdict=str(result.verdict),
        fell=result.verdict is Verdict.FAIL,
        n=result.n,
        then=figures.sign * change.then,
        now=figures.sign * change.now,
        change=change.change,
        interval=change.interval,
        p=change.p,
        shown=figures.change(change),
        worse=result.newly_failing,
        better=result.newly_passing,
        details=(*notes, *category_table(result), *flip_table(flips, None)),
        flips=tuple(flip_entries(flips)),
    )
