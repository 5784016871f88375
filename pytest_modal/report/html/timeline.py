"""The timeline of a session: its steps, and of each container the start, model loads and calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_modal.batch.quantities import duration
from pytest_modal.report.html.marks import of_call
from pytest_modal.report.html.scale import Scale, Tick, nice_step
from pytest_modal.report.html.text import cut
from pytest_modal.report.record import ContainerEntry, Record
from pytest_modal.wording import count

MOST_LANES = 40
_NARROW = 0.15  # percent of the width: calls that are narrower are drawn together with what follows
_GAP = 0.05  # percent between calls that are still drawn together
_LABEL = 120


@dataclass(frozen=True)
class Bar:
    """Something that took time; `x` and `width` are percent. `kind` is its class of colour and pattern."""

    x: float
    width: float
    kind: str
    said: str


@dataclass(frozen=True)
class Lane:
    """A row of the timeline."""

    name: str
    detail: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Timeline:
    """The lanes, and how many containers have none."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    left_out: int
    kinds: frozenset[str]


@dataclass(frozen=True)
class Span:
    """Something that a container, or the session, did; `kind` as in `Bar`."""

    start: float
    end: float
    kind: str
    said: str


def timeline_of(record: Record) -> Timeline | None:
    """Return the timeline; None where nothing ran."""
    steps = [
        Span(each["started"], each["started"] + each["seconds"], "step", f"{each['what']}: {duration(each['seconds'])}")
        for each in record["events"]
    ]
    work = work_by_container(record)
    shown = [each for each in record["containers"] if each["started"] is not None or work.get(each["id"])]
    points = [
        at for span in (*steps, *(span for spans in work.values() for span in spans)) for at in (span.start, span.end)
    ]
    points += [at for each in shown for at in (each["started"], each["ended"]) if at is not None]
    if not points:
        return None
    scale = Scale(min(points), max(max(points), min(points) + 1e-3))
    # Those that worked most are shown, in the order of their start.
    chosen = sorted(shown, key=lambda each: -each["seconds"])[:MOST_LANES]
    chosen.sort(key=lambda each: _first(each, work))
    lanes = [Lane("Session", "", tuple(_bars(steps, scale)))] if steps else []
    lanes += [_lane(each, work.get(each["id"], []), scale) for each in chosen]
    step = _step(scale.high - scale.low)
    ticks = [
        Tick(scale.at(scale.low + number * step), _clock(number * step))
        for number in range(40)
        if scale.low + number * step <= scale.high
    ]
    kinds = frozenset(bar.kind for lane in lanes for bar in lane.bars)
    return Timeline(tuple(lanes), tuple(ticks), len(shown) - len(chosen), kinds)


def work_by_container(record: Record) -> dict[str, list[Span]]:
    """Return what each container did, by its id, in the order of time."""
    work: dict[str, list[Span]] = {}
    for load in record["loads"]:
        if load["started"] is not None:
            failed = "" if load["ok"] else ", failed"
            said = f"load {cut(load['label'], _LABEL)}: {duration(load['seconds'])}{failed}"
            span = Span(load["started"], load["started"] + load["seconds"], "load" if load["ok"] else "failed", said)
            work.setdefault(load["container"], []).append(span)
    for call in record["calls"]:
        if call["started"] is not None and not call["reused"]:
            mark = of_call(call["status"])
            said = f"{cut(call['label'], _LABEL)}: {duration(call['seconds'])}, {mark.word}"
            kind = "failed" if mark.tone == "bad" else "call"
            span = Span(call["started"], call["started"] + call["seconds"], kind, said)
            work.setdefault(call["container"], []).append(span)
    for spans in work.values():
        spans.sort(key=lambda span: span.start)
    return work


def _first(container: ContainerEntry, work: dict[str, list[Span]]) -> float:
    starts = [span.start for span in work.get(container["id"], [])]
    return min([*starts, *([container["started"]] if container["started"] is not None else [])])


def _lane(container: ContainerEntry, work: Sequence[Span], scale: Scale) -> Lane:
    started, ended = container["started"], container["ended"]
    spans = []
    if started is not None:
        # A container that did nothing was only started.
        until = work[0].start if work else ended if ended is not None else started
        if until > started:
            spans.append(Span(started, until, "start", f"start: {duration(until - started)}"))
    if ended is not None and work and ended > work[0].start:
        idle = f"from its first work to its end: {duration(ended - work[0].start)}"
        spans.append(Span(work[0].start, ended, "alive", idle))
    name = cut(container["gpu"] or (container["machine"]["gpu"] if container["machine"] else "") or "CPU", 60)
    return Lane(name, cut(container["id"], 60), (*_bars(spans, scale), *_bars(work, scale)))


def _bars(spans: Sequence[Span], scale: Scale) -> Iterator[Bar]:
    """Yield bars; of calls that are too narrow to be seen, those beside each other as one."""
    at = 0
    while at < len(spans):
        first = spans[at]
        x, end, number = scale.at(first.start), scale.at(first.end), 1
        while first.kind == "call" and at + number < len(spans):
            other = spans[at + number]
            near = scale.at(other.start) - end <= _GAP and scale.at(other.end) - scale.at(other.start) < _NARROW
            if other.kind != "call" or not near or end - x > 100 * _NARROW:
                break
            end, number = max(end, scale.at(other.end)), number + 1
        said = first.said
        if number > 1:
            last = spans[at + number - 1]
            said = f"{count(number, 'call')}: {duration(last.end - first.start)}, all ok"
        yield Bar(x, max(round(end - x, 2), _NARROW), first.kind, said)
        at += number


def _step(span: float) -> float:
    """Return the distance of ticks: round in seconds, minutes or hours."""
    for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400):
        if span / step <= 6 and span > 4:
            return float(step)
    return nice_step(span / 5)


def _clock(number: float) -> str:
    if number == 0:
        return "0"
    if number < 60 or number % 60:
        return f"{number:g} s" if number < 120 else f"{int(number // 60)}:{int(number % 60):02} min"
    return f"{number / 60:g} min" if number < 3600 or number % 3600 else f"{number / 3600:g} h"
