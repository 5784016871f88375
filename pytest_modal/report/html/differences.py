"""Differences of a run to the last one of the same tests: outcomes, gates, calls, files, packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_modal.report.html.gates import Units
from pytest_modal.report.html.marks import Mark, of_gate, of_test
from pytest_modal.report.html.summary import commit_of, devices_of, moment
from pytest_modal.report.html.tests import link_of
from pytest_modal.report.html.text import cut, seconds, size
from pytest_modal.report.record import CallEntry, GateEntry, Record
from pytest_modal.wording import first_few

FACTOR = 1.5  # a call that took so much more or less time has changed
LEAST = 0.2  # seconds of difference, below which nobody waits
MOST_ROWS = 200
_NAME = 200


@dataclass(frozen=True)
class Side:
    """What something was, or is; a mark where it is an outcome."""

    said: str
    mark: Mark | None = None


@dataclass(frozen=True)
class Difference:
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
    rows: tuple[Difference, ...]
    number: int


@dataclass(frozen=True)
class Differences:
    """What has changed since a run; `compared` says since which."""

    compared: str
    groups: tuple[Group, ...]


_NOTHING = Side("—")


def differences_of(record: Record, previous: Record) -> Differences:
    """Return what has changed."""
    kinds: list[tuple[str, str, Iterable[Difference]]] = [
        ("Outcomes", "Test", _outcomes(record, previous)),
        ("Gates", "Gate", _gates(record, previous)),
        ("Calls slower or faster", "Call", _calls(record, previous)),
        ("Files", "File", _files(record, previous)),
        ("Packages and devices", "Name", _packages(record, previous)),
    ]
    groups = []
    for title, noun, found in kinds:
        rows = tuple(found)
        if rows:
            groups.append(Group(title, noun, rows[:MOST_ROWS], len(rows)))
    return Differences(f"{moment(previous['started'])}, commit {commit_of(previous)}", tuple(groups))


def _outcomes(record: Record, previous: Record) -> Iterable[Difference]:
    was = {test["nodeid"]: test["outcome"] for test in previous["tests"]}
    now = {test["nodeid"]: test["outcome"] for test in record["tests"]}
    links = {test["nodeid"]: link_of(index) for index, test in enumerate(record["tests"])}
    for name in [*now, *(name for name in was if name not in now)]:
        if was.get(name) == now.get(name):
            continue
        sides = [_NOTHING if each is None else Side("", of_test(each)) for each in (was.get(name), now.get(name))]
        if name not in was:
            tone, word = "quiet", "new"
        elif name not in now:
            tone, word = "quiet", "gone"
        else:
            tone, word = _judged(sides[0], sides[1])
        yield Difference(cut(name, _NAME), links.get(name, ""), sides[0], sides[1], tone, word)


def _judged(was: Side, now: Side) -> tuple[str, str]:
    tones = [each.mark.tone if each.mark else "quiet" for each in (was, now)]
    if tones[1] == "bad" and tones[0] != "bad":
        return "bad", "worse"
    if tones[1] == "good" and tones[0] in ("bad", "warn"):
        return "good", "better"
    return "warn", "changed"


def _gates(record: Record, previous: Record) -> Iterable[Difference]:
    was = {gate["gate"]: gate for gate in previous["gates"]}
    for index, gate in enumerate(record["gates"]):
        old = was.get(gate["gate"])
        if old is None:
            yield Difference(cut(gate["gate"], _NAME), f"gate-{index + 1}", _NOTHING, _side(gate), "quiet", "new")
        elif (old["verdict"], old["failed"], _level(old)) != (gate["verdict"], gate["failed"], _level(gate)):
            tone, word = _judged(_side(old), _side(gate))
            yield Difference(cut(gate["gate"], _NAME), f"gate-{index + 1}", _side(old), _side(gate), tone, word)
    for name in sorted(was.keys() - {gate["gate"] for gate in record["gates"]}):
        yield Difference(cut(name, _NAME), "", _side(was[name]), _NOTHING, "quiet", "gone")


def _side(gate: GateEntry) -> Side:
    return Side(_level(gate), of_gate(gate["verdict"], failed=gate["failed"]))


def _level(gate: GateEntry) -> str:
    accuracy = gate["result"].get("accuracy")
    return "" if accuracy is None else Units(bool(gate["result"].get("score")), 1).level(accuracy)


def _calls(record: Record, previous: Record) -> Iterable[Difference]:
    """Yield calls that took another time, by their labels: keys change with the code."""
    was, now = _timed(previous), _timed(record)
    found = []
    for name in was.keys() & now.keys():
        before, after = was[name], now[name]
        larger, smaller = max(before, after), min(before, after)
        if larger - smaller >= LEAST and larger >= FACTOR * smaller:
            tone, word = ("bad", "slower") if after > before else ("good", "faster")
            factor = f"{larger / smaller:.1f} × {word}" if smaller > 0 else word
            sides = Side(seconds(before)), Side(seconds(after))
            found.append((smaller - larger, Difference(cut(name, _NAME), "", *sides, tone, factor)))
    return [difference for _, difference in sorted(found, key=lambda each: (each[1].tone, each[0], each[1].name))]


def _timed(record: Record) -> Mapping[str, float]:
    times: dict[str, list[float]] = {}
    for call in record["calls"]:
        if _is_timed(call):
            times.setdefault(call["label"], []).append(call["seconds"])
    return {name: sum(each) for name, each in times.items()}


def _is_timed(call: CallEntry) -> bool:
    return call["status"] == "ok" and not call["reused"] and not call["recorded"]


def _files(record: Record, previous: Record) -> Iterable[Difference]:
    was = {each["path"]: each for each in previous["artifacts"]}
    now = {each["path"]: each for each in record["artifacts"]}
    for path in [*now, *(path for path in was if path not in now)]:
        old, new = was.get(path), now.get(path)
        if old and new and old["sha256"] == new["sha256"]:
            continue
        word = "new" if old is None else "gone" if new is None else "changed"
        sides = [
            _NOTHING if each is None else Side(f"{size(each['bytes'])}, {each['sha256'][:10] or 'not read'}")
            for each in (old, new)
        ]
        yield Difference(cut(path, _NAME), "", sides[0], sides[1], "warn" if word == "changed" else "quiet", word)


def _packages(record: Record, previous: Record) -> Iterable[Difference]:
    def facts(of: Record) -> dict[str, str]:
        device = first_few(sorted(devices_of(of["calls"])))
        return {**of["versions"], **({"devices": device} if device else {}), "mode": of["mode"]}

    yield from _changed(facts(previous), facts(record), lambda text: cut(text, _NAME))


def _changed(was: Mapping[str, str], now: Mapping[str, str], shown: Callable[[str], str]) -> Iterable[Difference]:
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            sides = [_NOTHING if each is None else Side(shown(each)) for each in (was.get(name), now.get(name))]
            yield Difference(shown(name), "", sides[0], sides[1], "warn", "changed")
