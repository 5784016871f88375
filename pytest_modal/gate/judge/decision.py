"""The decision of a gate by its comparisons alone: whether it changed, whether it is worse, and whether twice."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    suspicious : bool
        Whether fresh rounds are worth their price.
    replicated : bool
        Whether the fresh rounds alone show a drop too.
    """

    verdict: Verdict
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

    Two questions, and both must say yes: *changed?* is the exact test, *worse?* is the interval that is printed. So a
    verdict never contradicts the interval. The change of one item is never a verdict.

    Parameters
    ----------
    score : bool
        Whether the change is in units of a score, of which no size is remarkable by itself.
    factor : float
        What the p-values are multiplied by, where this is one of several comparisons.
    """
    lower, upper = change.interval
    suspicious = _dropped(change, SUSPICIOUS / factor, demands) and change.m == 1
    if _dropped(change, policy.level / factor, demands):
        replicated = fresh is None or _dropped(fresh, REPLICATED / factor, demands)
        verdict = Verdict.FAIL if upper < 0 and replicated else Verdict.CHANGED
        return Decision(verdict, suspicious, replicated)
    gained = change.change >= demands.min_drop - _ROUNDING and not change.single_gain
    if gained and change.p_gain * factor <= policy.level and lower > 0:
        return Decision(Verdict.IMPROVED)
    if not score and _dropped(change, SUSPICIOUS / factor, replace(demands, min_drop=TOLERABLE)):
        return Decision(Verdict.INCONCLUSIVE, suspicious)
    return Decision(Verdict.PASS, suspicious)


def _dropped(change: Change, level: float, demands: Demands) -> bool:
    return change.p <= level and -change.change >= demands.min_drop - _ROUNDING and not change.single_drop


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
