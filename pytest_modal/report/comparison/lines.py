"""The comparison of two runs as lines for a terminal, what is worse first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_modal.batch.cost import money
from pytest_modal.batch.quantities import duration
from pytest_modal.report.comparison.model import Comparison, FileChange, Recorded, Run
from pytest_modal.report.comparison.tables import TableChange
from pytest_modal.report.numbers import level_of
from pytest_modal.report.record import GateEntry
from pytest_modal.report.timing_differences import time_name, time_shown
from pytest_modal.wording import aligned, count, first_few, safe_line

MOST = 20  # of a kind that are shown; all are in the JSON
_WIDE = 120


def lines_of(comparison: Comparison) -> list[str]:
    """Return the lines, with what was compared and the conclusion before all others."""
    lines = [*aligned([("before", *_told(comparison.before)), ("after", *_told(comparison.after))]), ""]
    lines.append(conclusion(comparison))
    parts = [
        ("tests", _tests(comparison)),
        ("gates", _gates(comparison)),
        ("times", _times(comparison)),
        ("how it was run", _facts(comparison)),
        ("files", _files(comparison)),
    ]
    for title, part in parts:
        found = [f"  {line}" for line in part]
        lines += ["", title, *found] if found else []
    return [*lines, *_outside(comparison)]


def conclusion(comparison: Comparison) -> str:
    """Return in one line whether it is worse, and by what."""
    reasons = []
    if failing := comparison.failing:
        reasons.append(f"{count(len(failing), 'test')} that passed {'fails' if len(failing) == 1 else 'fail'}")
    if fallen := comparison.fallen:
        reasons.append(f"{count(len(fallen), 'gate')} fell")
    if comparison.fell_together:
        reasons.append(f"all gates fell together, though no single one did: {comparison.together}")
    if reasons:
        return f"WORSE: {', '.join(reasons)}"
    ending = comparison.after.record["ending"]
    if ending != "finished":
        return f"nothing is worse of what the later run did, which is {ending}"
    return "nothing is worse" if comparison else "no differences"


def _told(run: Run) -> tuple[str, ...]:
    record, cost = run.record, run.record["cost"]
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in record["outcomes"].items() if number)
    dollars = money(cost["dollars"]) if cost is not None else ""
    return safe_line(record["id"]), safe_line(record["mode"]), duration(record["seconds"]), dollars, safe_line(outcomes)


def _some(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST
    return [*lines[:MOST], *([f"... {more:,} more"] if more > 0 else [])]


def _tests(comparison: Comparison) -> list[str]:
    found = comparison.differences
    rows = [
        f"{each.was} -> {each.now}  {safe_line(each.nodeid, _WIDE)}"
        + (f": {safe_line(each.message, _WIDE)}" if each.message else "")
        for each in found.outcomes
    ]
    lines = _some(rows)
    for which, names in (("earlier", found.only_before), ("later", found.only_after)):
        if names:
            shown = first_few([safe_line(name, _WIDE) for name in names], 3)
            lines.append(f"only in the {which} run: {count(len(names), 'test')}: {shown}")
    return lines


def _gates(comparison: Comparison) -> Iterator[str]:
    if comparison.gates:
        rows = [("gate", "items", "change", "worse", "better", "p", "verdict")]
        for each in comparison.gates:
            moved = f"{each.worse:,}", f"{each.better:,}"
            rows.append((safe_line(each.gate, 40), f"{each.n:,}", each.shown, *moved, f"{each.p:.2g}", each.verdict))
        yield from aligned(rows)
    for each in comparison.gates:
        if each.details:
            yield f"{safe_line(each.gate, 40)}:"
            yield from each.details
    for gate in comparison.recorded:
        yield recorded_line(gate)
    if comparison.together:
        yield comparison.together
    if comparison.same_gates and (comparison.gates or comparison.recorded):
        yield f"the same answers: {count(comparison.same_gates, 'gate')}"


def recorded_line(gate: Recorded) -> str:
    """Return what is recorded of a gate that can't be compared by items, and why not."""
    change = gate.change
    sides = " -> ".join(_recorded(each) for each in (change.was, change.now) if each is not None)
    return f"{safe_line(change.gate, 40)}  {sides}  ({safe_line(gate.why)})"


def _recorded(gate: GateEntry) -> str:
    return f"{level_of(gate['result'])} {safe_line(gate['verdict'], 20)}".strip()


def _times(comparison: Comparison) -> list[str]:
    found = [each for each in comparison.differences.times if not each.unchanged]
    rows = [(f"{was} -> {now}", how, name) for (was, now, how), name in ((time_shown(t), time_name(t)) for t in found)]
    return _some(aligned(rows)) if rows else []


def _outside(comparison: Comparison) -> list[str]:
    """Return a note about times that differ though nothing does that is known."""
    found = [each for each in comparison.differences.times if each.unchanged]
    if not found:
        return []
    shown = first_few([f"{time_name(each)} {' -> '.join(time_shown(each)[:2])}" for each in found], 3)
    return ["", f"other times for the same calls on the same machine and packages, as when it is busy: {shown}"]


def _facts(comparison: Comparison) -> list[str]:
    rows = [
        (safe_line(e.what, 40), f"{safe_line(e.was) or '-'} -> {safe_line(e.now) or '-'}")
        for e in comparison.differences.facts
    ]
    return _some(aligned(rows)) if rows else []


def _files(comparison: Comparison) -> list[str]:
    lines = [line for each in comparison.files[:MOST] for line in _file(each)]
    more = len(comparison.files) - MOST
    return [*lines, *([f"... {more:,} more"] if more > 0 else [])]


def _file(file: FileChange) -> Iterator[str]:
    change = file.change
    how = "differs"
    if change.was is None or change.now is None:
        how = f"only in the {'later' if change.was is None else 'earlier'} run"
    note = f" ({file.note})" if file.note else ""
    yield f"{safe_line(change.path, _WIDE)}  {safe_line(change.kind, 20)} {how}{note}"
    yield from (f"  {line}" for line in table_lines(file.table))


def table_lines(table: TableChange | None) -> list[str]:
    """Return how two tables differ, and their first cells that do."""
    if table is None:
        return []
    was, now = table.lengths
    lines = [f"{count(was, 'row')} -> {count(now, 'row')}"] if was != now else []
    for which, names in (("earlier", table.only_before), ("later", table.only_after)):
        if names:
            lines.append(f"columns of the {which} run only: {first_few([safe_line(name, 40) for name in names])}")
    if table.differing:
        columns = first_few([safe_line(name, 40) for name in table.columns])
        verb = "differs" if table.differing == 1 else "differ"
        lines.append(f"{count(table.differing, 'row')} of both {verb}, in {columns}")
    for row in table.rows:
        cells = [f"{safe_line(e.column, 40)} {safe_line(e.was) or '-'} -> {safe_line(e.now) or '-'}" for e in row.cells]
        lines.append(f"row {safe_line(row.name)}: {', '.join(cells)}")
    return lines
