"""Figures of a gate as they are shown: accuracies, changes, intervals, p-values."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_modal.gate.judge.statistics import Change
from pytest_modal.gate.judge.verdict import GateResult


@dataclass(frozen=True)
class Figures:
    """How the numbers of a gate are shown: shares as percent and points, scores as they are.

    A score of which less is better is shown as it was measured, so that a drop is a larger number.
    """

    score: bool = False
    sign: int = 1

    @classmethod
    def of(cls, result: GateResult) -> Figures:
        """Return how the numbers of a result are shown."""
        return cls(result.score, result.demands.sign)

    def level(self, value: float) -> str:
        """Return an accuracy or a mean score."""
        return f"{self.sign * value:.4g}" if self.score else percent(value)

    def points(self, value: float) -> str:
        """Return the size of a drop."""
        return f"{value:.4g}" if self.score else f"{100 * value:.1f} points"

    def interval(self, change: Change) -> str:
        """Return the interval of a change."""
        low, high = sorted(self.sign * end for end in change.interval)
        return f"[{self._signed(low)}, {self._signed(high)}]"

    def _signed(self, value: float) -> str:
        return f"{value:+.4g}" if self.score else f"{100 * value:+.1f}"

    def change(self, change: Change) -> str:
        """Return a change from then to now, with its interval."""
        by = self._signed(self.sign * change.change) + ("" if self.score else " points")
        return f"{self.level(change.then)} -> {self.level(change.now)}, {by} {self.interval(change)}"


def percent(share: float) -> str:
    """Return a share as percent."""
    # A half is rounded up, as people do.
    return f"{100 * share + 1e-9:.1f}%"


def percents(interval: tuple[float, float]) -> str:
    """Return an interval of shares as percent."""
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def points(share: float) -> str:
    """Return a difference of shares as points."""
    return f"{100 * share:.1f} points"


def p_value(value: float) -> str:
    """Return a p-value to two digits."""
    return f"{value:.2g}"
