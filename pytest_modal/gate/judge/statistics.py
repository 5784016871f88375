"""Comparisons of the same items then and now, by the test and the interval that fit them.

Pure functions over arrays. Item `i` was right ``then[i]`` of `k` times in the baseline and ``now[i]`` of `m` times
now; scores are sums over the rounds likewise. Changes are shares: -0.043 is a drop of 4.3 points.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from pytest_modal.gate.judge.exact import exact_test, smallest_exact_p
from pytest_modal.gate.judge.intervals import Floats, change_interval, cluster_interval, cluster_sums
from pytest_modal.gate.judge.policy import ONE_SIDED
from pytest_modal.gate.judge.sign_flips import sign_flip_test, smallest_sign_flip_p
from pytest_modal.wording import count

EXACT = "exact paired test"
# Sums of equal scores differ in their last digits, which is not a change.
_DIGITS = 12


@dataclass(frozen=True)
class Change:
    """A comparison of the same items then and now. A gain is positive, whether a higher score is better or not.

    Attributes
    ----------
    method : str
        The test, in words.
    n, k, m : int
        Items compared, rounds of the baseline, rounds now.
    then, now : float
        Accuracy of the items that were compared; of a score of which less is better, its negative.
    interval : tuple of float
        The interval of the change with an error of `error` at each end: 90% for .05.
    p, p_gain : float
        One-sided p-values of a drop and of a gain.
    standard_error : float
        Of the change.
    smallest_p : float
        The smallest p-value that these items and rounds can have.
    single_drop, single_gain : bool
        Whether the change is that of one item or cluster, which many rounds can make sure but not a verdict: without
        the one that changed most, less than half of one is left.
    differences : array
        Now minus then, by item or by cluster, without zeros.
    """

    method: str
    n: int
    k: int
    m: int
    then: float
    now: float
    interval: tuple[float, float]
    error: float
    p: float
    p_gain: float
    standard_error: float
    smallest_p: float
    single_drop: bool
    single_gain: bool
    differences: Floats = field(repr=False, compare=False)

    @property
    def change(self) -> float:
        """Accuracy now minus accuracy then."""
        return self.now - self.then


def compare(
    then: ArrayLike,
    k: int,
    now: ArrayLike,
    m: int,
    clusters: ArrayLike | None = None,
    *,
    score: bool = False,
    error: float = ONE_SIDED,
) -> Change:
    """Compare the same items then and now, by the test that fits them.

    Parameters
    ----------
    then, now : array_like, shape (n,)
        Sums over `k` and `m` rounds. Whole numbers are counts and get the exact test; others are scores.
    clusters : array_like, shape (n,), optional
        The cluster of each item; items of one cluster need not be independent.
    score : bool
        Whether these are any real numbers, not shares of right answers.
    error : float
        Probability at each end of the interval.

    Raises
    ------
    ValueError
        No items, unequal lengths, rounds below 1, sums outside [0, rounds].
    """
    before, after = _sums(then, k, score), _sums(now, m, score)
    if len(before) != len(after):
        raise ValueError(f"then has {count(len(before), 'item')} and now has {len(after):,}")
    counts = not score and is_counts(before) and is_counts(after)
    # Whole numbers, where the rounds are counted: equal ones are ties.
    steps = k * after - m * before
    differences = steps / (k * m) if counts else np.round(steps / (k * m), _DIGITS)
    unit = 1.0 if counts else None
    if clusters is not None:
        units = cluster_sums(steps, clusters) if counts else cluster_sums(differences, clusters)
        method = f"sign flips of {count(len(units), 'cluster sum')}"
        p, p_gain = sign_flip_test(units)
        estimate = cluster_interval(differences, clusters, unit=unit, error=error)
        smallest = smallest_sign_flip_p(len(units))
        units = units / (k * m) if counts else units
    else:
        method = EXACT if counts else "paired permutation test"
        p, p_gain = exact_test(before, k, after, m) if counts else sign_flip_test(differences)
        estimate = change_interval(differences, unit=unit, error=error)
        smallest = smallest_exact_p(before, k, m) if counts else smallest_sign_flip_p(len(before))
        units = differences
    bound = np.inf if score else 1.0  # the change of a share can't leave [-1, 1]
    half = 0.5 * (1.0 if counts and clusters is None else float(np.abs(units).max()))
    total = float(units.sum())
    return Change(
        method=method,
        n=len(before),
        k=k,
        m=m,
        then=float(before.sum() / (k * len(before))),
        now=float(after.sum() / (m * len(after))),
        interval=(max(-bound, estimate.lower), min(bound, estimate.upper)),
        error=error,
        p=p,
        p_gain=p_gain,
        standard_error=estimate.standard_error,
        smallest_p=smallest,
        single_drop=bool(float(units.min()) - total < half),
        single_gain=bool(total - float(units.max()) < half),
        differences=units[units != 0],
    )


def is_counts(sums: ArrayLike) -> bool:
    """Whether sums over rounds are numbers of right answers, not of scores."""
    values = np.asarray(sums, float)
    return bool((values == np.round(values)).all())


def _sums(values: ArrayLike, rounds: int, score: bool) -> Floats:
    array = np.asarray(values, float)
    if rounds < 1 or array.ndim != 1 or not len(array):
        raise ValueError("a comparison needs at least one item and one round on each side")
    if not score and not ((array >= 0) & (array <= rounds + 1e-9)).all():
        raise ValueError(f"sums over {count(rounds, 'round')} are between 0 and {rounds}")
    return array
