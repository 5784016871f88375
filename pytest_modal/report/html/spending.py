"""Where the time and the money of containers went: start, model loads, calls, waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_modal.batch.cost import money
from pytest_modal.batch.quantities import duration
from pytest_modal.report.html.marks import of_call
from pytest_modal.report.html.text import cut
from pytest_modal.report.record import ContainerEntry, Record

_MOST_PARTS = 12
_LABEL = 120
_Key = tuple[str, str]  # kind and name of a part


@dataclass(frozen=True)
class Part:
    """What took time; `kind` is its class of colour, as in the timeline."""

    kind: str
    name: str
    seconds: float
    time: str
    percent: float
    dollars: str
    amount: float


@dataclass(frozen=True)
class Spending:
    """The parts of all containers, and their sum."""

    parts: tuple[Part, ...]
    time: str
    dollars: str
    prices: str
    is_complete: bool


def spending_of(record: Record) -> Spending | None:
    """Return where the containers' time went; None without containers."""
    totals: dict[_Key, tuple[float, float]] = {}
    priced = False
    parts_of = _work_by_part(record)
    begins = _first_work(record)
    for container in record["containers"]:
        priced |= container["dollars"] is not None
        rate = (container["dollars"] or 0.0) / container["seconds"] if container["seconds"] else 0.0
        for part, took in _parts(container, parts_of.get(container["id"], {}), begins.get(container["id"])).items():
            time, dollars = totals.get(part, (0.0, 0.0))
            totals[part] = time + took, dollars + took * rate
    everything = sum(time for time, _ in totals.values())
    if not everything:
        return None
    order = {kind: at for at, kind in enumerate(("start", "load", "call", "failed", "alive"))}
    ranked = sorted(totals, key=lambda part: (order[part[0]], -totals[part][0]))
    rows = _together(ranked, totals)
    parts = tuple(
        Part(
            kind=kind,
            name=name,
            seconds=time,
            time=duration(time),
            percent=round(100 * time / everything, 1),
            dollars=money(dollars) if priced else "",
            amount=dollars,
        )
        for kind, name, time, dollars in rows
    )
    cost = record["cost"]
    return Spending(
        parts,
        duration(everything),
        money(sum(dollars for _, dollars in totals.values())) if priced else "",
        "" if cost is None else cut(cost["prices"], 200),
        all(each["dollars"] is not None for each in record["containers"]),
    )


def _together(ranked: Sequence[_Key], totals: dict[_Key, tuple[float, float]]) -> list[tuple[str, str, float, float]]:
    """Return the rows; of many functions the smallest of a kind as one row."""
    large = set(sorted(ranked, key=lambda part: -totals[part][0])[:_MOST_PARTS])
    rows, rest = [], dict[str, tuple[float, float, int]]()
    for part in ranked:
        time, dollars = totals[part]
        if part in large:
            rows.append((*part, time, dollars))
        else:
            before = rest.get(part[0], (0.0, 0.0, 0))
            rest[part[0]] = before[0] + time, before[1] + dollars, before[2] + 1
    return [*rows, *((kind, f"{number:,} more", time, dollars) for kind, (time, dollars, number) in rest.items())]


def _work_by_part(record: Record) -> dict[str, dict[_Key, float]]:
    """Return, by the container's id, how long each load and each function took."""
    found: dict[str, dict[_Key, float]] = {}
    for load in record["loads"]:
        part = ("load" if load["ok"] else "failed", f"load {cut(load['label'], _LABEL)}")
        _add(found.setdefault(load["container"], {}), part, load["seconds"])
    for call in record["calls"]:
        if not call["reused"]:
            kind = "failed" if of_call(call["status"]).tone == "bad" else "call"
            _add(found.setdefault(call["container"], {}), (kind, cut(call["function"], _LABEL)), call["seconds"])
    return found


def _first_work(record: Record) -> dict[str, float]:
    """Return, by the container's id, when its first load or call began."""
    found: dict[str, float] = {}
    fresh = (call for call in record["calls"] if not call["reused"])
    for each in (*record["loads"], *fresh):
        if (started := each["started"]) is not None:
            found[each["container"]] = min(started, found.get(each["container"], started))
    return found


def _parts(container: ContainerEntry, did: Mapping[_Key, float], begin: float | None) -> dict[_Key, float]:
    """Return the parts of a container's time; they add up to it."""
    parts, total = dict(did), container["seconds"]
    busy = sum(parts.values())
    if busy > total > 0:  # calls that ran beside each other share the time
        return {part: time * total / busy for part, time in parts.items()}
    rest = total - busy
    if begin is not None and container["started"] is not None:
        start = min(max(0.0, begin - container["started"]), rest)
        _add(parts, ("start", "start of containers"), start)
        rest -= start
    _add(parts, ("alive", "waiting for work, and the end"), rest)
    return parts


def _add(parts: dict[_Key, float], part: _Key, time: float) -> None:
    if time > 0:
        parts[part] = parts.get(part, 0.0) + time
