"""Differences of a run to the last one of the same tests, as the page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_modal.batch.quantities import size
from pytest_modal.report.differences import Differences, GateChange, OutcomeChange
from pytest_modal.report.html.gates import anchor_of
from pytest_modal.report.html.marks import Mark, of_gate, of_test
from pytest_modal.report.html.tests import link_of
from pytest_modal.report.html.text import cut
from pytest_modal.report.numbers import level_of
from pytest_modal.report.record import ArtifactEntry, GateEntry, Record
from pytest_modal.report.timing_differences import time_name, time_shown

MOST_ROWS = 200
_NAME = 200


@dataclass(frozen=True)
class Side:
    """What something was, or is; a mark where it is an outcome."""

    said: str
    mark: Mark | None = None


@dataclass(frozen=True)
class Row:
    """Something that was otherwise; `tone` is how the change is judged, `word` says so."""

    name: str
    link: str
    was: Side
    now: Side
    tone: str
    word: str


@dataclass(frozen=True)
class Group:
    """Differences of one kind, the first of them, and how many there are."""

    title: str
    noun: str
    rows: tuple[Row, ...]
    number: int


_NOTHING = Side("—")


def shown_differences(found: Differences, record: Record) -> tuple[Group, ...]:
    """Return what differs in a run from the one before, by kinds; what was judged there is judged so here."""
    kinds: list[tuple[str, str, Iterable[Row]]] = [
        ("Outcomes", "Test", _outcomes(found, record)),
        ("Gates", "Gate", _gates(found, record)),
        ("Times", "What", _times(found)),
        ("Files", "File", _files(found)),
        ("How it was run", "What", _facts(found)),
    ]
    groups = []
    for title, noun, each in kinds:
        rows = tuple(each)
        if rows:
            groups.append(Group(title, noun, rows[:MOST_ROWS], len(rows)))
    return tuple(groups)


def _outcomes(found: Differences, record: Record) -> Iterator[Row]:
    links = {test["nodeid"]: link_of(index) for index, test in enumerate(record["tests"])}
    outcomes = {test["nodeid"]: test["outcome"] for test in record["tests"]}
    for each in found.outcomes:
        sides = Side("", of_test(each.was)), Side("", of_test(each.now))
        yield Row(cut(each.nodeid, _NAME), links[each.nodeid], *sides, *_judged(each))
    for name in found.only_after:
        now = Side("", of_test(outcomes[name]))
        yield Row(cut(name, _NAME), links[name], _NOTHING, now, "quiet", "new")
    for name in found.only_before:
        yield Row(cut(name, _NAME), "", _NOTHING, _NOTHING, "quiet", "gone")


def _judged(change: OutcomeChange | GateChange) -> tuple[str, str]:
    if change.worse:
        return "bad", "worse"
    return ("good", "better") if change.better else ("warn", "changed")


def _gates(found: Differences, record: Record) -> Iterator[Row]:
    links = {gate["gate"]: anchor_of(index) for index, gate in enumerate(record["gates"])}
    for each in found.gates:
        was, now = _gate(each.was), _gate(each.now)
        if each.was is None or each.now is None:
            judged = "quiet", "new" if each.was is None else "gone"
        else:
            judged = ("warn", "other answers") if was == now else _judged(each)
        yield Row(cut(each.gate, _NAME), links.get(each.gate, ""), was, now, *judged)


def _gate(gate: GateEntry | None) -> Side:
    return _NOTHING if gate is None else Side(level_of(gate["result"]), of_gate(gate["verdict"], failed=gate["failed"]))


def _times(found: Differences) -> Iterator[Row]:
    for each in found.times:
        if not each.unchanged:
            was, now, how = time_shown(each)
            yield Row(time_name(each), "", Side(was), Side(now), "bad" if each.slower else "good", how)


def _files(found: Differences) -> Iterator[Row]:
    for each in found.artifacts:
        word = "new" if each.was is None else "gone" if each.now is None else "changed"
        tone = "warn" if word == "changed" else "quiet"
        yield Row(cut(each.path, _NAME), "", _file(each.was), _file(each.now), tone, word)


def _file(entry: ArtifactEntry | None) -> Side:
    return _NOTHING if entry is None else Side(f"{size(entry['bytes'])}, {entry['sha256'][:10] or 'not read'}")


def _facts(found: Differences) -> Iterator[Row]:
    for each in found.facts:
        was, now = (Side(cut(said, _NAME)) if said else _NOTHING for said in (each.was, each.now))
        yield Row(cut(each.what, _NAME), "", was, now, "warn", "changed")
