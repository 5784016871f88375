"""The exact test of counts.

Pure functions over arrays. Item `i` was right ``then[i]`` of `k` times in the baseline and ``now[i]`` of `m` times now.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pytest_modal.gate.judge.intervals import Floats

# Smaller probabilities are left out of convolutions; all of them together are below SMALLEST_P.
_NEGLIGIBLE, SMALLEST_P = 1e-100, 1e-90


@dataclass(frozen=True)
class _Distribution:
    """Probabilities of the whole numbers from `first` on."""

    first: int
    p: Floats

    def plus(self, other: _Distribution) -> _Distribution:
        """Return the distribution of the sum of two independent variables."""
        p = np.convolve(self.p, other.p)
        kept = np.flatnonzero(p > _NEGLIGIBLE)
        return _Distribution(self.first + other.first + int(kept[0]), p[kept[0] : kept[-1] + 1])

    def times(self, number: int) -> _Distribution:
        """Return the distribution of the sum of `number` independent copies, by powers."""
        total, power = _CERTAIN, self
        while number:
            if number & 1:
                total = total.plus(power)
            number >>= 1
            if number:
                power = power.plus(power)
        return total

    def at_most(self, value: float) -> float:
        """Return the probability of `value` or less, at least `SMALLEST_P`."""
        total = float(self.p[: max(0, math.floor(value) - self.first + 1)].sum())
        return min(1.0, max(SMALLEST_P, total))

    def at_least(self, value: float) -> float:
        """Return the probability of `value` or more, at least `SMALLEST_P`."""
        total = float(self.p[max(0, math.ceil(value) - self.first) :].sum())
        return min(1.0, max(SMALLEST_P, total))


_CERTAIN = _Distribution(0, np.ones(1))


def exact_test(then: ArrayLike, k: int, now: ArrayLike, m: int) -> tuple[float, float]:
    """Return the one-sided p-values of a drop and of a gain, given how often each item was right at all.

    If nothing changed, the rounds of an item are exchangeable: of its ``s = then + now`` right answers in `k` + `m`
    rounds, the number among the `m` rounds of now is hypergeometric. The statistic is the number of right answers
    now; its null distribution is the convolution over all items. With one round each, this is the exact test of
    McNemar (1947), Psychometrika 12:153; with more, a permutation test stratified by item.

    Parameters
    ----------
    then, now : array_like of whole numbers, shape (n,)
        Right answers of each item in `k` rounds then and in `m` rounds now.
    """
    after = np.asarray(now, float)
    totals = np.asarray(then, float) + after
    uncertain = (totals > 0) & (totals < k + m)
    values, numbers = np.unique(totals[uncertain], return_counts=True)
    null = _null({int(s): int(times) for s, times in zip(values, numbers, strict=True)}, k, m)
    observed = float(after[uncertain].sum())
    return null.at_most(observed), null.at_least(observed)


@functools.cache
def hypergeometric(k: int, m: int, s: int) -> Floats:
    """Return the probabilities of right answers now, from the fewest that are possible on, if `s` are right in all."""
    p = stats.hypergeom.pmf(np.arange(max(0, s - k), min(s, m) + 1), k + m, s, m)
    return np.asarray(p, float)


def _null(items: Mapping[int, int], k: int, m: int) -> _Distribution:
    """Return the distribution of right answers now, for so many items that were right `s` times in all."""
    null = _CERTAIN
    for s, number in items.items():
        first = max(0, s - k)
        null = null.plus(_Distribution(first, hypergeometric(k, m, s)).times(number))
    return null


def smallest_exact_p(then: ArrayLike, k: int, m: int) -> float:
    """Return the p-value if every item failed in all of `m` rounds now: no result of the gate has a smaller one."""
    values, numbers = np.unique(np.asarray(then, int), return_counts=True)
    p = stats.hypergeom.pmf(0, k + m, values, m)
    return float(max(SMALLEST_P, np.prod(p**numbers)))


def flip_rate(then: ArrayLike, k: int) -> float | None:
    """Return how often two rounds of the baseline differ on an item; None when it has one round.

    The unbiased estimate: of the k(k-1)/2 pairs of rounds of an item that was right c times, c(k-c) differ.
    """
    if k < 2:
        return None
    counts = np.asarray(then, float)
    return float((2 * counts * (k - counts) / (k * (k - 1))).mean())
