"""The decision of a gate by its comparisons alone: whether it changed, whether it is worse, and whether twice."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_modal.gate.judge.policy import REPLICATED, SUSPICIOUS, TOLERABLE, Demands, Policy
from pytest_modal.gate.judge.statistics import Change

_ROUNDING = 1e-9  # a drop of exactly min_drop is one


class Verdict(enum.StrEnum):
    """The verdict of a gate."""

    PASS = "PASS"
    FAIL = "FAIL"
    CHANGED = "CHANGED"
    INCONCLUSIVE = "INCONCLUSIVE"
    IMPROVED = "IMPROVED"
    ACCEPTED = "ACCEPTED"
    NO_BASELINE = "NO BASELINE"


@dataclass(frozen=True)
class Decision:
    """What the comparisons of a gate say.

    Attributes
    ----------
    interval : tuple of float
        The changes that can't be excluded. It leaves out zero only where both questions are answered so, whatever
        the interval of the estimate alone says.
    suspicious : bool
        Whether fresh rounds are worth their price.
    replicated : bool
        Whether the fresh rounds alone show a drop too.
    """

    verdict: Verdict
    interval: tuple[float, float]
    suspicious: bool = False
    replicated: bool = True


def decide(
    change: Change,
    fresh: Change | None,
    demands: Demands,
    policy: Policy,
    *,
    score: bool = False,
    factor: float = 1.0,
) -> Decision:
    """Decide by a change, over all rounds, and by that of the fresh rounds alone.

    Two questions, and both must say yes: *changed?* is the exact test, *worse?* is the interval. What is printed is the
    interval of the decision, which reaches to zero unless both say yes: an interval that lies below zero is a FAIL, or
    a drop that is smaller than `min_drop`. So a verdict never contradicts the interval. The change of one item is
    never a verdict.

    Parameters
    ----------
    score : bool
        Whether the change is in units of a score, of which no size is remarkable by itself.
    factor : float
        What the p-values are multiplied by, where this is one of several comparisons.
    """
    lower, upper = change.interval
    replicated = fresh is None or _fell(fresh, REPLICATED / factor, demands.min_drop)
    worse = _is_lower(change, policy.level / factor) and upper < 0 and replicated
    better = change.p_gain * factor <= policy.level and not change.single_gain and lower > 0
    interval = (lower if better else min(lower, 0.0), upper if worse else max(upper, 0.0))
    suspicious = _fell(change, SUSPICIOUS / factor, demands.min_drop) and change.m == 1
    if _fell(change, policy.level / factor, demands.min_drop):
        return Decision(Verdict.FAIL if worse else Verdict.CHANGED, interval, suspicious, replicated)
    if better and change.change >= demands.min_drop - _ROUNDING:
        return Decision(Verdict.IMPROVED, interval)
    if not score and _fell(change, SUSPICIOUS / factor, TOLERABLE):
        return Decision(Verdict.INCONCLUSIVE, interval, suspicious)
    return Decision(Verdict.PASS, interval, suspicious)


def _is_lower(change: Change, level: float) -> bool:
    return change.p <= level and not change.single_drop


def _fell(change: Change, level: float, by: float) -> bool:
    return _is_lower(change, level) and -change.change >= by - _ROUNDING


def holm(values: Sequence[float]) -> list[float]:
    """Return what each of several p-values is multiplied by (Holm 1979, Scandinavian Journal of Statistics 6:65).

    The smallest of n p-values by n, the next by n - 1, and so on; none of the products is below one before it.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    factors, reached = [1.0] * len(values), 0.0
    for rank, index in enumerate(order):
        reached = max(reached, (len(values) - rank) * values[index])
        factors[index] = reached / values[index]
    return factors
