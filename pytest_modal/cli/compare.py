"""``pytest-modal compare``: the decision of accuracy gates for any two files of per-item results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pytest_modal.checks.render import write
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.figures import Figures
from pytest_modal.gate.judge.findings import category_table, changed
from pytest_modal.gate.judge.flips import flip_table, flips_between
from pytest_modal.gate.judge.joint import joint_test, pooled
from pytest_modal.gate.judge.log_files import plain_name
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.result_files import KINDS, Results, read_results
from pytest_modal.gate.judge.verdict import GateResult, judge_arms
from pytest_modal.wording import aligned, count, first_few, some, three_parts


@dataclass(frozen=True)
class _Pair:
    name: str
    before: Evaluation
    after: Evaluation
    notes: Sequence[str]


def compare_paths(before: str, after: str, by: str | None = None, correct: str | None = None) -> int:
    """Compare two files, or two directories whose files are paired by name, and print what is found.

    Parameters
    ----------
    by : str, optional
        The column of categories.
    correct : str, optional
        The column, metric or scorer that says whether an item is right.

    Returns
    -------
    int
        0, 1 if the second is worse, 2 if they can't be compared.
    """
    try:
        paired = _paths(Path(before), Path(after))
        pairs = [_pair(name, one, two, by, correct) for name, one, two in paired]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    policy = Policy(gates=len(pairs))
    results = [
        judge_arms(each.name, each.after, each.before, demands=Demands(), policy=policy, test="") for each in pairs
    ]
    write("\n".join([*_table(results), ""]))
    for pair, result in zip(pairs, results, strict=True):
        _print_findings(pair, result)
    # The arms of a comparison are the baseline and the run of a suite.
    joint = joint_test([part for each in results if (part := pooled(replace(each, recordable=True))) is not None])
    failed = any(each.verdict is Verdict.FAIL for each in results)
    if joint is not None:
        write(f"{joint.summary if failed else joint.line}\n")
    return int(failed or (joint is not None and joint.worse))


def _paths(before: Path, after: Path) -> list[tuple[str, Path, Path]]:
    if before.is_dir() != after.is_dir():
        what = f"{before} and {after}: one is a directory, the other is not"
        raise ValueError(three_parts(what, "the command line", "name two files, or two directories"))
    if not before.is_dir():
        return [(plain_name(after), before, after)]
    ones, twos = _files(before), _files(after)
    names = sorted(ones.keys() & twos.keys())
    if not names:
        remedy = "give the files of both directories the same names; times in them do not count"
        raise ValueError(three_parts("no file of one directory is in the other", f"{before}, {after}", remedy))
    if alone := sorted(ones.keys() ^ twos.keys()):
        print(f"{count(len(alone), 'file')} in one directory only: {first_few(alone)}", file=sys.stderr)
    return [(name, ones[name], twos[name]) for name in names]


def _files(directory: Path) -> dict[str, Path]:
    """Return the files of results below a directory by their names without times, the newest of each.

    Raises
    ------
    ValueError
        Several directories below have files of one name, such as those of several models.
    """
    found = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix in KINDS and ".outputs" not in path.suffixes and not path.name.startswith("results_")
    )
    files: dict[str, Path] = {}
    for path in found:
        name = plain_name(path)
        other = files.get(name)
        if other is not None and other.parent != path.parent:
            what = f"{directory} has results of {name} in several directories"
            raise ValueError(three_parts(what, f"{other.parent}, {path.parent}", "name one of these directories"))
        files[name] = path
    return files


def _pair(name: str, before: Path, after: Path, by: str | None, correct: str | None) -> _Pair:
    read = read_results(before, by, correct), read_results(after, by, correct)
    one, two = (each.evaluation for each in read)
    where = f"{before}, {after}"
    if by is not None and one.categories is None and two.categories is None:
        raise ValueError(three_parts(f"{name} has no column {by!r}", where, "name one that it has"))
    shared = set(one.ids) & set(two.ids)
    if not shared:
        remedy = "compare results of the same items: they are paired by id"
        raise ValueError(three_parts(f"{name} has no item in both files", where, remedy))
    notes = _read_notes(read)
    if left_out := one.n + two.n - 2 * len(shared):
        notes.append(f"{count(left_out, 'item')} in one file only, not compared")
    first, second = (each if each.n == len(shared) else _only(each, shared) for each in (one, two))
    digests = zip(first.ids, first.digests, second.digests, strict=True)
    if changed := [each for each, mine, theirs in digests if mine and theirs and mine != theirs]:
        what = f"{name}: {count(len(changed), 'item')} of {len(shared):,} are others in the two files: {some(changed)}"
        raise ValueError(three_parts(what, where, "compare results of the same items: an id names one item for good"))
    if second.categories is None:
        second = replace(second, categories=first.categories)
    return _Pair(name, replace(first, categories=None), second, notes)


def _read_notes(read: Sequence[Results]) -> list[str]:
    notes = list(dict.fromkeys(each.note for each in read if each.note is not None))
    return [f"compared: {' -> '.join(notes)}"] if notes else []


def _only(evaluation: Evaluation, ids: set[str]) -> Evaluation:
    """Return an evaluation of some of its items."""
    chosen = np.array([index for index, each in enumerate(evaluation.ids) if each in ids])

    def of(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[index] for index in chosen)

    return replace(
        evaluation,
        ids=of(evaluation.ids),
        results=evaluation.results[chosen],
        digests=of(evaluation.digests),
        inputs=tuple(evaluation.inputs[index] for index in chosen),
        outputs=tuple(evaluation.outputs[index] for index in chosen),
        categories=None if evaluation.categories is None else of(evaluation.categories),
    )


def _table(results: Sequence[GateResult]) -> list[str]:
    rows = [("name", "items", "change", "worse", "better", "p", "verdict")]
    for each in results:
        change = each.change
        assert change is not None, "arms are compared"
        moved = f"{each.newly_failing:,}", f"{each.newly_passing:,}"
        figures = Figures.of(each).change(change)
        rows.append((each.gate, f"{each.n:,}", figures, *moved, f"{change.p:.2g}", str(each.verdict)))
    return aligned(rows)


def _print_findings(pair: _Pair, result: GateResult) -> None:
    lines = [f"  {note}" for note in pair.notes]
    if result.verdict is Verdict.CHANGED:
        lines.append(changed(result)[1])
    lines += [*category_table(result), *flip_table(flips_between(pair.after, pair.before), None)]
    if lines:
        write("\n".join(["", pair.name, *lines, ""]))
