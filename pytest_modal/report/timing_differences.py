"""Differences in time between two runs: calls, model loads, steps and the whole, past what noise does.

Times of two equal runs differ, by any factor where they are short, so that a difference counts only if it is at least
`FACTOR` and a number of seconds that a person would notice. Four things would be taken for a difference of the code,
and are not:

* A call with the same key on the same machine with the same packages is the same call. If it takes longer, the machine
  was busy or something outside has changed: this is told, and is no difference of the runs.
* The first call of a process, and the first of a function in it, pay for imports and for the start of CUDA, and which
  call that is changes from run to run. A call is compared with one in the same place.
* A busy machine is slow throughout. Where most functions have changed by one factor, that is said once, and single
  calls are measured against it.
* A result from an earlier run, a recording, and a second try have times of their own. They are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from pytest_modal.batch.cost import money
from pytest_modal.batch.quantities import duration
from pytest_modal.report.record import CallEntry, Record
from pytest_modal.wording import safe_line

FACTOR = 2.0
CALL_FLOOR = 1.0  # seconds, over all calls that are compared
LOAD_FLOOR = 5.0  # weights come from a disk, or from a network
RUN_FLOOR = 10.0  # containers are waited for
COST_FLOOR = 0.05  # dollars
# What short calls take says nothing of the pace of a machine, nor do few functions.
PACE_CALL, PACE_FUNCTIONS = 0.05, 3
MANY = 3  # calls of a function that changed alike are one line

_LONGEST = 120  # characters of a name
_MEASURED = ("local", "modal")


@dataclass(frozen=True)
class TimeChange:
    """Something that takes at least twice as long as it did, or half as long.

    Attributes
    ----------
    kind : str
        "calls" (all of them), "function", "call", "load", "step", "run", or "cost", which is in dollars.
    name : str
        Of a function with its file, of a call and a load its label.
    count : int
        How many were compared.
    was, now : float
        Seconds: of a call or a load the median of those of its name, of others the total.
    unchanged : bool
        Whether nothing that is known to matter differs: the keys of the calls, the machines, the packages.
    """

    kind: str
    name: str
    count: int
    was: float
    now: float
    unchanged: bool = False

    @property
    def slower(self) -> bool:
        """Whether it takes longer, or costs more."""
        return self.now > self.was


@dataclass(frozen=True)
class _Pair:
    """Calls of one name in both runs, with the median seconds of one."""

    file: str
    function: str
    label: str
    count: int
    was: float
    now: float
    unchanged: bool

    @property
    def ratio(self) -> float:
        return _ratio(self.was, self.now)


def time_changes(before: Record, after: Record, *, alike: bool) -> list[TimeChange]:
    """Return what got much slower or faster, the whole first; nothing for runs of two modes or of no measured time.

    Parameters
    ----------
    alike : bool
        Whether both had the same machines and packages.
    """
    if before["mode"] != after["mode"] or before["mode"] not in _MEASURED:
        return []
    pairs = _pairs(before, after, alike=alike)
    same_work = _same_work(before, after)
    unchanged = same_work and _unchanged(pairs)
    found = [*_whole(before, after, unchanged=unchanged)] if same_work else []
    return [*found, *_loads(before, after, unchanged=unchanged), *_calls(pairs)]


def time_shown(change: TimeChange) -> tuple[str, str, str]:
    """Return how long something took, how long it takes, and by which factor that differs."""
    was, now = (money(each) if change.kind == "cost" else duration(each) for each in (change.was, change.now))
    more, less = max(change.was, change.now), min(change.was, change.now)
    word = "slower" if change.slower else "faster"
    if change.kind == "cost":
        word = "more" if change.slower else "less"
    return was, now, f"{more / less:.1f}× {word}" if less > 0 else word


def time_name(change: TimeChange) -> str:
    """Return what took the time, with how many there are of it."""
    what = {"calls": "all calls", "run": "the whole run", "cost": "cost", "step": change.name}
    name = what.get(change.kind, f"{change.kind} {change.name}")
    return safe_line(name + (f" ({change.count:,} calls)" if change.kind in ("calls", "function") else ""), _LONGEST)


def _ratio(was: float, now: float) -> float:
    # No clock tells times below this apart, and none is zero.
    return max(now, 1e-6) / max(was, 1e-6)


def _much(was: float, now: float, floor: float, pace: float = 1.0) -> bool:
    """Return whether it is slower or faster by `FACTOR`, and would be if all calls were not by `pace`."""
    ratio = _ratio(was, now)
    far = ratio / max(pace, 1.0) >= FACTOR or ratio / min(pace, 1.0) <= 1 / FACTOR
    return far and abs(now - was) >= floor


def _same_work(before: Record, after: Record) -> bool:
    """Return whether both ran the same tests to the end, and computed the same calls."""

    def work(record: Record) -> tuple[str, set[str], set[tuple[str, str]]]:
        fresh = {_name(each) for each in record["calls"] if not each["reused"]}
        return record["ending"], {each["nodeid"] for each in record["tests"]}, fresh

    return before["ending"] == "finished" and work(before) == work(after)


def _whole(before: Record, after: Record, *, unchanged: bool) -> Iterator[TimeChange]:
    if _much(before["seconds"], after["seconds"], RUN_FLOOR):
        yield TimeChange("run", "the whole run", 1, before["seconds"], after["seconds"], unchanged)
    was, now = (steps_of(each) for each in (before, after))
    for step in dict.fromkeys([*was, *now]):
        if _much(was.get(step, 0.0), now.get(step, 0.0), RUN_FLOOR):
            yield TimeChange("step", step, 1, was.get(step, 0.0), now.get(step, 0.0), unchanged)
    one, two = before["cost"], after["cost"]
    if one is None or two is None or not (one["complete"] and two["complete"]):
        return
    if _much(one["dollars"], two["dollars"], COST_FLOOR):
        yield TimeChange("cost", "dollars", 1, one["dollars"], two["dollars"], unchanged)


def steps_of(record: Record) -> dict[str, float]:
    """Return the seconds of each step of a run, in the order in which it first took one."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for each in record["events"]:
        seconds[each["what"]] += each["seconds"]
    return seconds


def _loads(before: Record, after: Record, *, unchanged: bool) -> Iterator[TimeChange]:
    was, now = (_load_seconds(each) for each in (before, after))
    for label in [each for each in was if each in now]:
        one, two = median(was[label]), median(now[label])
        if _much(one, two, LOAD_FLOOR):
            yield TimeChange("load", label, min(len(was[label]), len(now[label])), one, two, unchanged)


def _load_seconds(record: Record) -> Mapping[str, list[float]]:
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for each in record["loads"]:
        if each["ok"]:
            seconds[each["label"]].append(each["seconds"])
    return seconds


def _calls(pairs: list[_Pair]) -> Iterator[TimeChange]:
    by_function: defaultdict[tuple[str, str], list[_Pair]] = defaultdict(list)
    for pair in pairs:
        by_function[pair.file, pair.function].append(pair)
    pace = _pace(by_function)
    was, now = _totals(pairs)
    if _much(1.0, pace, 0.0) and _much(was, now, CALL_FLOOR):
        yield TimeChange("calls", "all calls", _count(pairs), was, now, _unchanged(pairs))
    for (file, function), own in by_function.items():
        was, now = _totals(own)
        together = _much(was, now, CALL_FLOOR, pace) and _much(1.0, median(each.ratio for each in own), 0.0, pace)
        if together and len(own) >= MANY:
            yield TimeChange("function", f"{function} ({file})", _count(own), was, now, _unchanged(own))
        for each in own:
            seconds = each.was * each.count, each.now * each.count
            alike = together and len(own) >= MANY and (each.now > each.was) == (now > was)
            if not alike and _much(*seconds, CALL_FLOOR, pace):
                yield TimeChange("call", each.label, each.count, each.was, each.now, each.unchanged)


def _count(pairs: list[_Pair]) -> int:
    return sum(each.count for each in pairs)


def _unchanged(pairs: list[_Pair]) -> bool:
    return all(each.unchanged for each in pairs)


def _totals(pairs: list[_Pair]) -> tuple[float, float]:
    return sum(each.was * each.count for each in pairs), sum(each.now * each.count for each in pairs)


def _pace(by_function: Mapping[tuple[str, str], list[_Pair]]) -> float:
    """Return the factor by which calls are slower throughout: the median over functions; 1.0 where it isn't known."""
    ratios = []
    for pairs in by_function.values():
        long = [each.ratio for each in pairs if max(each.was, each.now) >= PACE_CALL]
        if long:
            ratios.append(median(long))
    return median(ratios) if len(ratios) >= PACE_FUNCTIONS else 1.0


@dataclass(frozen=True)
class _Place:
    """What is compared with each other: calls of a function at the same place in their process."""

    function: str
    place: str


@dataclass
class _Measured:
    """Calls of one name at one place in a run."""

    keys: list[str]
    seconds: list[float]


def _pairs(before: Record, after: Record, *, alike: bool) -> list[_Pair]:
    was, now = _measured(before), _measured(after)
    found = []
    for name, places in was.items():
        for place in [each for each in places if each in now.get(name, {})]:
            one, two = places[place], now[name][place]
            unchanged = alike and sorted(one.keys) == sorted(two.keys)
            times = min(len(one.seconds), len(two.seconds)), _median(one.seconds), _median(two.seconds)
            found.append(_Pair(name[0], place.function, name[1], *times, unchanged))
    return found


def _median(times: list[float]) -> float:
    # Nearly all are alone, and there may be thousands.
    return times[0] if len(times) == 1 else median(times)


def _measured(record: Record) -> dict[tuple[str, str], dict[_Place, _Measured]]:
    """Return the calls whose time this run has measured, by file and label."""
    found: dict[tuple[str, str], dict[_Place, _Measured]] = {}
    seen = set[tuple[str, ...]]()
    for call in sorted(record["calls"], key=lambda each: each["started"] or 0.0):
        if call["reused"] or call["recorded"] or call["status"] == "missing":
            continue
        container, function = (call["container"],), (call["container"], call["where"], call["function"])
        place = "first" if container not in seen else "first of its function" if function not in seen else "later"
        seen |= {container, function}
        if call["status"] == "ok" and call["attempts"] <= 1:
            at = found.setdefault(_name(call), {}).setdefault(_Place(call["function"], place), _Measured([], []))
            at.keys.append(call["key"])
            at.seconds.append(call["seconds"])
    return found


def _name(call: CallEntry) -> tuple[str, str]:
    # Lines of a file move; two functions of one name may be in different files.
    return call["where"].rpartition(":")[0], call["label"]
