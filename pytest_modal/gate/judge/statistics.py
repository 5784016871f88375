"""Statistical tests of the gate, and the drops that it is able to see.

Pure functions over arrays. Item `i` was right ``then[i]`` of `k` times in the baseline and ``now[i]`` of `m` times
now; scores in [0, 1] are sums over the rounds likewise. Changes are shares: -0.043 is a drop of 4.3 points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pytest_modal.gate.judge.intervals import (
    FEW,
    RESAMPLES,
    SEED,
    Floats,
    cluster_interval,
    cluster_sums,
    count_interval,
    score_interval,
)
from pytest_modal.wording import count

# Smaller probabilities are left out of convolutions; all of them together are below SMALLEST_P.
_NEGLIGIBLE, SMALLEST_P = 1e-100, 1e-90
# How often two greedy runs of one model differ on an item, where a baseline of one round can't tell
# (61 runs: https://github.com/sgl-project/sglang-jax/issues/1333).
TYPICAL_FLIPS = 0.0165


@dataclass(frozen=True)
class Change:
    """A comparison of the same items then and now.

    Attributes
    ----------
    method : str
        The test, in words.
    n, k, m : int
        Items compared, rounds of the baseline, rounds now.
    then, now : float
        Accuracy of the items that were compared.
    interval : tuple of float
        95% interval of the change.
    lower : float
        One-sided 95% lower bound of the change.
    p, p_gain : float
        One-sided p-values of a drop and of a gain.
    standard_error : float
        Of the change.
    changed : bool
        Whether any item differs at all.
    smallest_p : float
        The p-value if every item failed now.
    single_item : bool
        Whether the drop is that of one item, which many rounds can make sure but not a regression: without the item
        that fell most, less than half an item of it is left.
    """

    method: str
    n: int
    k: int
    m: int
    then: float
    now: float
    interval: tuple[float, float]
    lower: float
    p: float
    p_gain: float
    standard_error: float
    changed: bool
    smallest_p: float
    single_item: bool = False

    @property
    def change(self) -> float:
        """Accuracy now minus accuracy then."""
        return self.now - self.then


def compare(then: ArrayLike, k: int, now: ArrayLike, m: int, clusters: ArrayLike | None = None) -> Change:
    """Compare the same items then and now, by the test that fits them.

    Parameters
    ----------
    then, now : array_like, shape (n,)
        Sums over `k` and `m` rounds. Whole numbers are counts and get the exact test; others are scores.
    clusters : array_like, shape (n,), optional
        The cluster of each item; items of one cluster need not be independent.

    Raises
    ------
    ValueError
        No items, unequal lengths, rounds below 1, sums outside [0, rounds].
    """
    before, after = _sums(then, k), _sums(now, m)
    if len(before) != len(after):
        raise ValueError(f"then has {count(len(before), 'item')} and now has {len(after):,}")
    # Sums of equal scores differ in their last digits, which is not a change.
    differences = np.round(after / m - before / k, 12)
    single = False
    if clusters is not None:
        sums = cluster_sums(differences, clusters)
        method = f"sign flips of {count(len(sums), 'cluster sum')}"
        p, p_gain = sign_flip_test(sums)
        estimate = cluster_interval(differences, clusters)
        smallest = smallest_sign_flip_p(cluster_sums(before, clusters))
    elif is_counts(before) and is_counts(after):
        method = "exact paired test"
        p, p_gain = exact_test(before, k, after, m)
        estimate = count_interval(differences)
        smallest = smallest_exact_p(before, k, m)
        # Many rounds of one item can give a small p-value here; flips of signs, which are by item, never do.
        single = bool(differences.min() - differences.sum() < 0.5)
    else:
        method = "paired permutation test"
        p, p_gain = sign_flip_test(differences)
        estimate = score_interval(differences)
        smallest = smallest_sign_flip_p(before)
    return Change(
        method=method,
        n=len(before),
        k=k,
        m=m,
        then=float(before.sum() / (k * len(before))),
        now=float(after.sum() / (m * len(after))),
        interval=estimate.interval,
        lower=estimate.lower,
        p=p,
        p_gain=p_gain,
        standard_error=estimate.standard_error,
        changed=bool(differences.any()),
        smallest_p=smallest,
        single_item=single,
    )


def is_counts(sums: ArrayLike) -> bool:
    """Whether sums over rounds are numbers of right answers, not of scores."""
    values = np.asarray(sums, float)
    return bool((values == np.round(values)).all())


def _sums(values: ArrayLike, rounds: int) -> Floats:
    array = np.asarray(values, float)
    if rounds < 1 or array.ndim != 1 or not len(array):
        raise ValueError("a comparison needs at least one item and one round on each side")
    if not ((array >= 0) & (array <= rounds + 1e-9)).all():
        raise ValueError(f"sums over {count(rounds, 'round')} are between 0 and {rounds}")
    return array


# Counts: the exact test.


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

    def quantile(self, share: float) -> int:
        """Return the smallest value that is not exceeded with probability `share`."""
        return self.first + int(np.searchsorted(self.p.cumsum(), share * self.p.sum()))


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


def _null(items: Mapping[int, int], k: int, m: int) -> _Distribution:
    """Return the distribution of right answers now, for so many items that were right `s` times in all."""
    null = _CERTAIN
    for s, number in items.items():
        first, last = max(0, s - k), min(s, m)
        p = stats.hypergeom.pmf(np.arange(first, last + 1), k + m, s, m)
        null = null.plus(_Distribution(first, p).times(number))
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


def detectable_drop(then: ArrayLike, k: int, m: int, level: float, power: float = 0.8) -> float | None:
    """Return the smallest drop that the exact test sees with this power; None if it can't see any.

    So many items fail in every round, those first that never failed; the others flip as they did in the baseline. Their
    flips enter as items that were right once in all, or wrong once, as many as give the same variance:
    ``p(1-p)km/(k+m)`` for an item that is right with probability ``p``, against ``km/(k+m)^2``. The test must then
    reject even if its noise lies at the unfavourable end of `power`.
    """
    counts = np.sort(np.asarray(then, int))[::-1]
    flips = flip_rate(counts, k)
    pairs = round(len(counts) * (TYPICAL_FLIPS if flips is None else flips) / 2 * (k + m) / 2)
    noise = _null({1: pairs, k + m - 1: pairs}, k, m) if pairs and k + m > 2 else _null({1: 2 * pairs}, k, m)
    worst = noise.quantile(power)

    def seen(failing: int) -> bool:
        values, numbers = np.unique(counts[:failing], return_counts=True)
        failed = {int(c): int(number) for c, number in zip(values, numbers, strict=True) if c}
        return noise.plus(_null(failed, k, m)).at_most(worst) <= level

    low, high = 0, int((counts > 0).sum())
    if not seen(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return float(counts[:high].sum() / k / len(counts))


# Scores and clusters: sign flips.


def sign_flip_test(differences: ArrayLike) -> tuple[float, float]:
    """Return the one-sided p-values of a drop and of a gain, by flipping the signs of paired differences.

    If nothing changed, each difference is as likely with the other sign. All flips are tried where they are few,
    else 9,999 with a fixed seed. Of many differences, the `FEW` largest are flipped, and the sum of the others,
    each of which is small against it, is drawn as the normal that it is.

    Parameters
    ----------
    differences : array_like, shape (n,)
        Now minus then, by item or by cluster.
    """
    d = np.asarray(differences, float)
    d = d[d != 0]
    if not len(d):
        return 1.0, 1.0
    if len(d) > FEW:
        return _sign_flips_of_many(d)
    if len(d) == 1:
        return (0.5, 1.0) if d[0] < 0 else (1.0, 0.5)  # scipy wants two

    def total(values: Floats, axis: int) -> object:
        return values.sum(axis=axis)

    def p(alternative: str) -> float:
        result = stats.permutation_test(
            (d,),
            total,
            permutation_type="samples",
            alternative=alternative,
            n_resamples=RESAMPLES,
            vectorized=True,
            batch=2_000,
            rng=np.random.default_rng(SEED),
        )
        return float(result.pvalue)

    return p("less"), p("greater")


def _sign_flips_of_many(d: Floats) -> tuple[float, float]:
    sizes = np.sort(np.abs(d))[::-1]
    rng = np.random.default_rng(SEED)
    signs = rng.integers(0, 2, size=(RESAMPLES, FEW), dtype=np.int8).astype(np.float32)
    flipped = (2 * signs - 1) @ sizes[:FEW].astype(np.float32)
    null = flipped + rng.normal(scale=math.sqrt(float((sizes[FEW:] ** 2).sum())), size=RESAMPLES)
    observed = d.sum()
    as_low, as_high = int((null <= observed).sum()), int((null >= observed).sum())
    return (as_low + 1) / (RESAMPLES + 1), (as_high + 1) / (RESAMPLES + 1)


def smallest_sign_flip_p(then: Floats) -> float:
    """Return the p-value if every item scored 0 now."""
    return max(0.5 ** min(1_000, int((then > 0).sum())), 1 / (RESAMPLES + 1))
