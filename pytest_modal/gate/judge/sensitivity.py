"""Sensitivity of a gate: the drops that it is able to see, whatever the results will be."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from pytest_modal.gate.judge.exact import flip_rate, smallest_exact_p
from pytest_modal.gate.judge.intervals import Floats, cluster_sums
from pytest_modal.gate.judge.policy import MIN_DROP, SUSPICIOUS, TOLERABLE, Policy
from pytest_modal.gate.judge.power import design_of, detectable_drop
from pytest_modal.gate.judge.sign_flips import smallest_sign_flip_p
from pytest_modal.gate.judge.statistics import is_counts


@dataclass(frozen=True)
class Sensitivity:
    """What a gate is able to see, whatever the results will be.

    Attributes
    ----------
    n : int
        Number of items.
    detectable : float or None
        The smallest drop at which it fails with 80% power if nothing else changes; None if that is unknown, as for
        scores, clusters and baselines of one round, or if there is none.
    smallest_p, level : float
        The smallest p-value the gate can have, and the one at which it fails.
    too_small : bool
        Whether a drop of 3 points is known to be too small for it.
    """

    n: int
    detectable: float | None
    smallest_p: float
    level: float
    too_small: bool

    @property
    def powerless(self) -> bool:
        """Whether the gate can't fail, even if every item did."""
        return self.smallest_p > self.level


def sensitivity(
    then: Floats,
    k: int,
    policy: Policy,
    *,
    min_drop: float = MIN_DROP,
    clusters: ArrayLike | None = None,
    score: bool = False,
) -> Sensitivity:
    """Return what a gate sees against a baseline.

    Parameters
    ----------
    then : array, shape (n,)
        Sums over the `k` rounds of the baseline.
    """
    n, level = len(then), policy.level
    if score or clusters is not None or not is_counts(then):
        units = n if clusters is None else len(cluster_sums(then, clusters))
        return Sensitivity(n, None, smallest_sign_flip_p(units), level, too_small=False)
    # Fresh rounds follow a suspicious first round, and only that.
    stages = [(1, SUSPICIOUS), (1 + policy.confirm, level)] if policy.confirm else [(1, level)]
    smallest_of = [smallest_exact_p(then, k, rounds) for rounds, _ in stages]
    smallest = next((p for p, (_, at) in zip(smallest_of, stages, strict=True) if p > at), smallest_of[-1])
    flips = flip_rate(then, k)
    if flips is None or smallest > level:
        return Sensitivity(n, None, smallest, level, too_small=False)
    drop = detectable_drop(design_of(n, float(then.sum()) / (k * n), flips, k, policy, min_drop))
    return Sensitivity(n, drop, smallest, level, too_small=drop is None or drop > TOLERABLE)
