"""Gates of the page: a forest plot of their changes, the history of their rounds, and their flips."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modal.report.html.history import History, history_of
from pytest_modal.report.html.marks import Mark, of_gate
from pytest_modal.report.html.scale import Scale, Tick, scale_of
from pytest_modal.report.html.tests import link_of
from pytest_modal.report.html.text import Texts, cut, with_minus
from pytest_modal.report.numbers import level, level_of
from pytest_modal.report.record import FlipEntry, GateEntry, Record
from pytest_modal.wording import count

_TICKS = 8
_NAME, _NOTE, _DIRECTION = 200, 2_000, 40


@dataclass(frozen=True)
class Units:
    """How numbers of a gate are shown: shares as percent and points, scores as they were measured."""

    score: bool
    sign: int

    def level(self, value: float) -> str:
        """Return an accuracy or a mean score; of a score of which less is better, its negative is given."""
        return level(self.sign * value if self.score else value, score=self.score)

    def change(self, value: float) -> str:
        """Return a change, as the terminal shows it."""
        shown = f"{self.sign * value:+.4g}" if self.score else f"{100 * value:+.1f}"
        return shown.replace("-", "−").replace("inf", "∞")

    def drop(self, value: float) -> str:
        """Return the size of a drop."""
        return f"{value:.4g}" if self.score else f"{100 * value:.1f} points"


@dataclass(frozen=True)
class Forest:
    """The change of a gate as a row of the plot; positions are percent of the width, a gain is on the right."""

    low: float
    high: float
    at: float
    zero: float
    limit: float | None
    said: str


@dataclass(frozen=True)
class FlipRow:
    """An item whose answer has changed, with the right answers of rounds before and now."""

    id: str
    direction: str
    tone: str
    was: str
    now: str
    input: str
    right_then: str
    right_now: str


@dataclass(frozen=True)
class Gate:
    """A gate as it is shown; `directions` of its flips have how many are shown, of how many if not all are."""

    anchor: str
    name: str
    mark: Mark
    test: str
    link: str
    level: str
    change: str
    interval: str
    confidence: str
    forest: Forest | None
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    history: History | None
    flips: tuple[FlipRow, ...]
    flips_in_all: int
    directions: tuple[tuple[str, str], ...]
    open: bool


@dataclass(frozen=True)
class Panel:
    """Gates that share an axis: all accuracies, or one score."""

    title: str
    ticks: tuple[Tick, ...]
    zero: float | None
    gates: tuple[Gate, ...]


def anchor_of(index: int) -> str:
    """Return the fragment of the gate with that number."""
    return f"gate-{index + 1}"


def panels_of(record: Record, texts: Texts) -> tuple[Panel, ...]:
    """Return the gates of a run: those of accuracies on one axis, each score on its own, then what compared nothing."""
    links = {test["nodeid"]: link_of(index) for index, test in enumerate(record["tests"])}
    numbered = list(enumerate(record["gates"]))
    accuracies = [each for each in numbered if _is_compared(each[1]) and not each[1]["result"].get("score")]
    scores = [each for each in numbered if _is_compared(each[1]) and each[1]["result"].get("score")]
    without = [each for each in numbered if not _is_compared(each[1])]
    groups = [("Change of accuracy, in points", accuracies)] if accuracies else []
    groups += [(f"Change of the score {cut(entry['gate'], _NAME)}", [(index, entry)]) for index, entry in scores]
    groups += [("Compared with nothing", without)] if without else []
    return tuple(_panel(title, group, links, texts) for title, group in groups)


def _is_compared(entry: GateEntry) -> bool:
    return isinstance(entry["result"].get("change"), Mapping)


def _units(result: Mapping[str, Any]) -> Units:
    higher = (result.get("demands") or {}).get("higher_is_better", True)
    return Units(bool(result.get("score")), 1 if higher else -1)


def _panel(title: str, group: Sequence[tuple[int, GateEntry]], links: Mapping[str, str], texts: Texts) -> Panel:
    values = [value for _, entry in group for value in _extent(entry["result"])]
    scale = scale_of([0.0, *values]) if values else None
    gates = tuple(_gate(index, entry, scale, links, texts) for index, entry in group)
    if scale is None:
        return Panel(title, (), None, gates)
    units = _units(group[0][1]["result"])
    ticks = tuple(Tick(scale.at(value), units.change(value).removesuffix(".0")) for value in scale.ticks(_TICKS))
    # Zero has no sign.
    ticks = tuple(Tick(tick.at, "0") if tick.at == scale.at(0) else tick for tick in ticks)
    return Panel(title, ticks, scale.at(0), gates)


def _extent(result: Mapping[str, Any]) -> list[float]:
    change = result.get("change")
    if not isinstance(change, Mapping):
        return []
    ends = [end for end in change["interval"] if end is not None]
    limit = _limit(result)
    return [change["change"], *ends, *([] if limit is None else [-limit[1]])]


def _limit(result: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the drop that decides: the margin where there is one, else the smallest drop that can fail."""
    demands = result.get("demands") or {}
    for name in ("margin", "min_drop"):
        if demands.get(name) is not None:
            return name, float(demands[name])
    return None


def _gate(index: int, entry: GateEntry, scale: Scale | None, links: Mapping[str, str], texts: Texts) -> Gate:
    result, units = entry["result"], _units(entry["result"])
    change = result.get("change")
    sign = units.sign
    shown = level_of(result)
    moved = interval = confidence = ""
    forest = None
    if isinstance(change, Mapping) and scale is not None:
        shown = f"{units.level(change['then'])} → {units.level(change['now'])}"
        moved = units.change(change["change"])
        # The interval of a score of which less is better is turned around with its sign.
        low, high = (
            units.change(side * math.inf if end is None else end)
            for side, end in zip((-1, 1), change["interval"], strict=True)
        )
        interval = f"{low} to {high}" if sign > 0 else f"{high} to {low}"
        confidence = f"{100 * (1 - 2 * change['error']):.3g}%"
        forest = _forest(cut(entry["gate"], _NAME), result, change, scale, units, (moved, interval, confidence))
    mark = of_gate(entry["verdict"], failed=entry["failed"])
    return Gate(
        anchor=anchor_of(index),
        name=cut(entry["gate"], _NAME),
        mark=mark,
        test=cut(entry["test"], _NAME),
        link=links.get(entry["test"], ""),
        level=shown,
        change=moved,
        interval=interval,
        confidence=confidence,
        forest=forest,
        facts=tuple(_facts(entry, units)),
        notes=tuple(_note(cut(note, _NOTE)) for note in entry["notes"]),
        history=history_of(entry, units.level, sign),
        flips=tuple(flip_row(flip, texts) for flip in entry["flips"]),
        flips_in_all=entry["flips_in_all"],
        directions=tuple(_directions(entry)),
        open=entry["failed"],
    )


def _note(note: str) -> str:
    # The columns of a table stay where they are.
    return note if "\n" in note else with_minus(note)


def _directions(entry: GateEntry) -> Iterator[tuple[str, str]]:
    """Yield the directions of flips; the record has the first of many, and what the gate counted has all of them."""
    counted = {"worse": entry["result"].get("newly_failing"), "better": entry["result"].get("newly_passing")}
    for direction, number in Counter(flip["direction"] for flip in entry["flips"]).items():
        in_all = counted.get(direction) or number
        is_cut = entry["flips_in_all"] > len(entry["flips"]) and in_all > number
        yield cut(direction, _DIRECTION), f"{number:,} of {in_all:,}" if is_cut else f"{number:,}"


def _forest(
    name: str,
    result: Mapping[str, Any],
    change: Mapping[str, Any],
    scale: Scale,
    units: Units,
    shown: tuple[str, str, str],
) -> Forest:
    low, high = change["interval"]
    limit = _limit(result)
    moved, interval, confidence = shown
    said = f"{name}: change {moved}, {confidence} interval {interval}"
    if limit is not None:
        said += f"; {limit[0]} {units.drop(limit[1])}"
    return Forest(
        low=0.0 if low is None else scale.at(low),
        high=100.0 if high is None else scale.at(high),
        at=scale.at(change["change"]),
        zero=scale.at(0),
        limit=None if limit is None else scale.at(-limit[1]),
        said=said,
    )


def _facts(entry: GateEntry, units: Units) -> list[tuple[str, str]]:
    result, facts = entry["result"], list[tuple[str, str]]()
    change, demands = result.get("change"), result.get("demands") or {}
    if result.get("n") is not None:
        rounds = count(result.get("rounds") or 1, "round")
        facts.append(("Items", f"{result['n']:,}, {rounds} now"))
    if isinstance(change, Mapping):
        facts.append(("Compared", f"{change['n']:,} items, {count(change['k'], 'round')} before"))
        facts.append(("p of a drop", f"{change['p']:.2g}, {change['method']}"))
        if result.get("newly_failing") or result.get("newly_passing"):
            facts.append(("Items that moved", f"{result['newly_failing']:,} worse, {result['newly_passing']:,} better"))
    if interval := result.get("accuracy_interval"):
        ends = [units.level(units.sign * end) for end in interval if end is not None]
        facts.append(
            (
                "Accuracy now" if not units.score else "Score now",
                f"{level_of(result)}, 90% interval {' to '.join(ends)}",
            )
        )
    if (limit := _limit(result)) is not None:
        facts.append((limit[0], units.drop(limit[1])))
    if demands.get("min_accuracy") is not None:
        facts.append(("min_accuracy", level(demands["min_accuracy"], score=False)))
    if entry["baseline"]:
        facts.append(("Baseline", cut(entry["baseline"], _NAME)))
    if entry["update"]:
        facts.append(("Update", cut(entry["update"], _NOTE)))
    return facts


def flip_row(flip: FlipEntry, texts: Texts) -> FlipRow:
    """Return an item whose answer has changed as it is shown."""
    direction = flip["direction"]
    tone = {"worse": "bad", "better": "good"}.get(direction, "quiet")
    was, now, given = (texts.cell(flip[name]) for name in ("was", "now", "input"))
    return FlipRow(
        cut(flip["id"], _NAME),
        cut(direction, _DIRECTION),
        tone,
        was,
        now,
        given,
        cut(flip["right_then"], 40),
        cut(flip["right_now"], 40),
    )
