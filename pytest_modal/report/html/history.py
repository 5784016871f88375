"""The history of a gate: earlier baselines, the rounds of this one with their range, and this run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_modal.report.html.scale import Tick, scale_of
from pytest_modal.report.html.text import cut
from pytest_modal.report.record import GateEntry

_MOST = 40  # points that are drawn, the last ones; the table has the others
_TOP, _BOTTOM = 8.0, 92.0  # percent of the height


@dataclass(frozen=True)
class Point:
    """A round, or a baseline of the past. Positions are percent; `low` and `high` are the ends of an interval."""

    x: float
    y: float
    kind: str
    value: str
    date: str
    what: str
    commit: str
    app: str
    gpu: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Band:
    """A rectangle, in percent."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class History:
    """Points from the oldest to this run.

    Attributes
    ----------
    band : Band or None
        The range of the baseline's rounds.
    drawn : tuple of Point
        The last ones.
    said : str
        What is seen, in words.
    """

    points: tuple[Point, ...]
    drawn: tuple[Point, ...]
    band: Band | None
    ticks: tuple[Tick, ...]
    said: str


def history_of(entry: GateEntry, level: Callable[[float], str], sign: int) -> History | None:
    """Return the history of a gate; None where nothing is known but this run."""
    result = entry["result"]
    rounds = entry["rounds"]
    if not rounds:
        return None
    interval = [end for end in result.get("accuracy_interval") or () if end is not None]
    values = [each["value"] for each in rounds]
    shown = [*values, *([] if result.get("accuracy") is None else [result["accuracy"], *interval])]
    scale = scale_of(shown)

    def y(value: float) -> float:
        # Above is more, whether that is better or not, as in every chart.
        return round(_BOTTOM - (_BOTTOM - _TOP) * scale.at(value) / 100, 2)

    number = len(rounds) + (result.get("accuracy") is not None)
    drawn = min(number, _MOST)
    points = []
    for index, each in enumerate(rounds):
        is_round = each["what"] == "round"
        points.append(
            Point(
                x=_x(index - (number - drawn), drawn),
                y=y(each["value"]),
                kind="round" if is_round else "past",
                value=level(sign * each["value"]),
                date=cut(each["date"], 40),
                what="round of the baseline" if is_round else cut(each["what"], 120),
                commit=cut(each["commit"], 12),
                app=cut(each["app"], 60),
                gpu=cut(each["gpu"], 60),
            )
        )
    if result.get("accuracy") is not None:
        ends = sorted(y(end) for end in interval) if len(interval) == 2 else [None, None]
        here = Point(
            x=_x(drawn - 1, drawn),
            y=y(result["accuracy"]),
            kind="now",
            value=level(sign * result["accuracy"]),
            date="this run",
            what="this run, with its 90% interval" if ends[0] is not None else "this run",
            commit="",
            app="",
            gpu="",
            low=ends[1],
            high=ends[0],
        )
        points.append(here)
    of_baseline = [each["value"] for each in rounds if each["what"] == "round"]
    band = None
    if of_baseline:
        left = max(0.0, next(point.x for point in points if point.kind == "round"))
        top = y(max(of_baseline))
        band = Band(left, round(100 - left, 2), top, round(y(min(of_baseline)) - top, 2))
    said = f"{len(rounds)} earlier values"
    if of_baseline:
        said += f"; rounds of the baseline from {level(sign * min(of_baseline))} to {level(sign * max(of_baseline))}"
    if result.get("accuracy") is not None:
        said += f"; this run {points[-1].value}"
    ticks = tuple(Tick(y(value), level(sign * value)) for value in scale.ticks(3))
    return History(tuple(points), tuple(points[-drawn:]), band, ticks, said)


def _x(index: int, number: int) -> float:
    return round(4 + 92 * index / (number - 1), 2) if number > 1 else 50.0
