"""Sensitivity of a gate: the drops that it is able to see, whatever the results will be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pytest_modal.gate.judge.intervals import Floats, cluster_sums, count_interval
from pytest_modal.gate.judge.policy import SUSPICIOUS, TOLERABLE, Policy
from pytest_modal.gate.judge.statistics import (
    Change,
    detectable_drop,
    is_counts,
    smallest_exact_p,
    smallest_sign_flip_p,
)

POWER = 0.8


@dataclass(frozen=True)
class Sensitivity:
    """What a gate is able to see, whatever the results will be.

    Attributes
    ----------
    n : int
        Number of items.
    detectable : float or None
        The smallest drop that is seen with 80% power; None if that is unknown.
    smallest_p, level : float
        The smallest p-value the gate can have, and the one at which it fails.
    too_small : bool
        Whether one flipping item is enough to leave a drop of 3 points possible.
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
    then: Floats, k: int, policy: Policy, *, clusters: ArrayLike | None = None, change: Change | None = None
) -> Sensitivity:
    """Return what a gate sees against a baseline.

    Parameters
    ----------
    then : array, shape (n,)
        Sums over the `k` rounds of the baseline.
    change : Change, optional
        A comparison with it: the noise of scores and clusters is known only from it.
    """
    level, m = policy.level, 1 if change is None else change.m
    # Fresh rounds follow a suspicious first round, and only that.
    stages = [(m, level)] if m > 1 or not policy.confirm else [(1, SUSPICIOUS), (1 + policy.confirm, level)]
    detectable = None
    if clusters is None and is_counts(then) and (change is None or change.method == "exact paired test"):
        smallest_of = [smallest_exact_p(then, k, rounds) for rounds, _ in stages]
        smallest = next((p for p, (_, at) in zip(smallest_of, stages, strict=True) if p > at), smallest_of[-1])
        drops = [detectable_drop(then, k, rounds, at, POWER) for rounds, at in stages]
        detectable = max((drop if drop is not None else math.inf) for drop in drops)
    else:
        smallest = smallest_sign_flip_p(then if clusters is None else cluster_sums(then, clusters))
        error = change.standard_error if change is not None else 0.0
        detectable = error * float(stats.norm.isf(level) + stats.norm.ppf(POWER)) if error else math.inf
    one_flip = -np.eye(1, len(then))[0]
    return Sensitivity(
        n=len(then),
        detectable=detectable if detectable <= 1 else None,
        smallest_p=smallest,
        level=level,
        too_small=count_interval(one_flip).lower < -TOLERABLE,
    )
