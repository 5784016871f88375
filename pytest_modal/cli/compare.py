"""``pytest-modal compare``: the decision of accuracy gates for any two files of per-item results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_modal.checks.render import write
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.figures import Figures
from pytest_modal.gate.judge.findings import category_table, changed
from pytest_modal.gate.judge.flips import flip_table, flips_between
from pytest_modal.gate.judge.joint import joint_test, pooled
from pytest_modal.gate.judge.log_files import plain_name
from pytest_modal.gate.judge.pairs import Pair, pair
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.result_files import KINDS, Results, read_results
from pytest_modal.gate.judge.verdict import GateResult, judge_arms
from pytest_modal.wording import aligned, count, first_few, three_parts


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
        pairs = [_read_pair(name, one, two, by, correct) for name, one, two in paired]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    policy = Policy(gates=len(pairs))
    results = [
        judge_arms(each.name, each.after, each.before, demands=Demands(), policy=policy, test="") for each in pairs
    ]
    write("\n".join([*_table(results), ""]))
    for each, result in zip(pairs, results, strict=True):
        _print_findings(each, result)
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


def _read_pair(name: str, before: Path, after: Path, by: str | None, correct: str | None) -> Pair:
    read = read_results(before, by, correct), read_results(after, by, correct)
    one, two = (each.evaluation for each in read)
    where = f"{before}, {after}"
    if by is not None and one.categories is None and two.categories is None:
        raise ValueError(three_parts(f"{name} has no column {by!r}", where, "name one that it has"))
    return pair(name, one, two, where, _read_notes(read))


def _read_notes(read: Sequence[Results]) -> list[str]:
    notes = list(dict.fromkeys(each.note for each in read if each.note is not None))
    return [f"compared: {' -> '.join(notes)}"] if notes else []


def _table(results: Sequence[GateResult]) -> list[str]:
    rows = [("name", "items", "change", "worse", "better", "p", "verdict")]
    for each in results:
        change = each.change
        assert change is not None, "arms are compared"
        moved = f"{each.newly_failing:,}", f"{each.newly_passing:,}"
        figures = Figures.of(each).change(change)
        rows.append((each.gate, f"{each.n:,}", figures, *moved, f"{change.p:.2g}", str(each.verdict)))
    return aligned(rows)


def _print_findings(compared: Pair, result: GateResult) -> None:
    lines = [f"  {note}" for note in compared.notes]
    if result.verdict is Verdict.CHANGED:
        lines.append(changed(result)[1])
    lines += [*category_table(result), *flip_table(flips_between(compared.after, compared.before), None)]
    if lines:
        write("\n".join(["", compared.name, *lines, ""]))
