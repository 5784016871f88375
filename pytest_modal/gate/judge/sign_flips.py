"""Tests by flipping signs: of scores, of clusters, and of all gates of a run together.

If nothing changed, each paired difference is as likely with the other sign. Pure functions over arrays.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import signal, stats

from pytest_modal.gate.judge.intervals import Floats

SEED = 20240229
RESAMPLES = 9_999
# Sums of more differences than that are normal to more digits than 9,999 resamples can show.
FEW = 1_000
_ENUMERATED = 12  # differences: 4,096 flips
_LONGEST_LATTICE = 2_000_000
_FINEST = 60  # parts of the smallest difference that are tried: differences of 2 and 3 thirds are multiples of one
# Sums that are equal on paper differ in their last digits: those are ties.
_TOLERANCE = 1e-9
_BATCH = 1_000
_SMALLEST_P = 1e-14  # of convolutions by Fourier transforms


def sign_flip_test(differences: ArrayLike) -> tuple[float, float]:
    """Return the one-sided p-values of a drop and of a gain.

    Exact where the differences are few, or multiples of one size such as counts of rounds; else by 9,999 flips with a
    fixed seed, of which the `FEW` largest differences are flipped, and the sum of the others, each of which is small
    against it, is drawn as the normal that it is.

    Parameters
    ----------
    differences : array_like, shape (n,)
        Now minus then, by item or by cluster.
    """
    d = np.asarray(differences, float)
    d = d[np.abs(d) > _TOLERANCE * max(np.abs(d).max(initial=0), _TOLERANCE)]
    if not len(d):
        return 1.0, 1.0
    if len(d) <= _ENUMERATED:
        return _enumerated(d)
    multiples = _multiples(d)
    return _sampled(d) if multiples is None else _on_lattice(multiples)


def _enumerated(d: Floats) -> tuple[float, float]:
    signs = np.array(list(itertools.product((-1, 1), repeat=len(d))))
    return _shares(signs @ np.abs(d), d)


def _shares(sums: Floats, d: Floats, more: int = 0) -> tuple[float, float]:
    observed, slack = float(d.sum()), _TOLERANCE * float(np.abs(d).sum())
    as_low, as_high = int((sums <= observed + slack).sum()), int((sums >= observed - slack).sum())
    return (as_low + more) / (len(sums) + more), (as_high + more) / (len(sums) + more)


def _multiples(d: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Return the differences as whole numbers of one size, if they are."""
    least = float(np.abs(d).min())
    for size in (1.0, *(least / part for part in range(1, _FINEST + 1))):
        whole = np.round(d / size)
        if np.abs(d / size - whole).max() < _TOLERANCE * max(1.0, float(np.abs(whole).max())):
            divisor = int(np.gcd.reduce(whole.astype(np.int64)))
            numbers = whole.astype(np.int64) // divisor
            return numbers if np.abs(numbers).sum() < _LONGEST_LATTICE else None
    return None


def _on_lattice(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[float, float]:
    sizes, counts = np.unique(np.abs(numbers), return_counts=True)
    # Of the differences of one size, those with a plus are binomial; the sum of what has a plus says all.
    null = np.ones(1)
    for size, many in zip(sizes.tolist(), counts.tolist(), strict=True):
        p = np.zeros(size * many + 1)
        p[::size] = stats.binom.pmf(np.arange(many + 1), many, 0.5)
        null = signal.convolve(null, p)
    null = np.clip(null, 0, None)
    plus = int(numbers[numbers > 0].sum())
    least = max(0.5 ** min(1_000, len(numbers)), _SMALLEST_P)
    down, up = float(null[: plus + 1].sum()), float(null[plus:].sum())
    return min(1.0, max(least, down)), min(1.0, max(least, up))


def _sampled(d: Floats) -> tuple[float, float]:
    sizes = np.sort(np.abs(d))[::-1]
    rng = np.random.default_rng(SEED)
    rest = math.sqrt(float((sizes[FEW:] ** 2).sum()))
    sums = []
    for begun in range(0, RESAMPLES, _BATCH):
        signs = rng.integers(0, 2, size=(min(_BATCH, RESAMPLES - begun), len(sizes[:FEW])), dtype=np.int8)
        sums.append((2.0 * signs - 1) @ sizes[:FEW])
    drawn = rng.normal(scale=rest, size=RESAMPLES) if rest else 0
    return _shares(np.concatenate(sums) + drawn, d, more=1)


def smallest_sign_flip_p(differences: int) -> float:
    """Return the p-value if so many differences, of different sizes, were all drops."""
    return max(0.5 ** min(1_000, differences), 1 / (RESAMPLES + 1)) if differences > _ENUMERATED else 0.5**differences
