"""Axes of charts: values as percent of the width, and round numbers for their ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A mark of an axis at `at` percent."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value is, in percent; what lies outside is at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def ticks(self, most: int) -> list[float]:
        """Return round numbers on the axis, at most about so many."""
        step = nice_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [0.0 if number == 0 else number * step for number in range(first, last + 1)]


def scale_of(values: list[float], room: float = 0.06) -> Scale:
    """Return an axis on which all values have a place, and some room at the ends."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    return Scale(low - room * spread, high + room * spread)


def nice_step(step: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= step * (1 - 1e-9))
