"""Intervals of changes and of accuracies. Pure functions over arrays; a change of -0.043 is a drop of 4.3 points."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from pytest_modal.gate.judge.policy import ONE_SIDED

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """The interval of a change and its standard error."""

    lower: float
    upper: float
    standard_error: float


def change_interval(differences: ArrayLike, *, unit: float | None = None, error: float = ONE_SIDED) -> Estimate:
    """Estimate a mean change: ``D +- z SE``, with the standard error of Bonett and Price.

    One item more of each kind of change than was seen, as for one round on each side in Bonett & Price (2012), Journal
    of Educational and Behavioral Statistics 37:479. With several rounds a difference is any share of a `unit`, and
    the two items more differ by a whole one: for scores by the largest difference that was seen, so that the
    interval is the same in whatever unit the scores are.

    Parameters
    ----------
    differences : array_like, shape (n,)
        Now minus then, by item.
    unit : float, optional
        The difference between right and wrong: 1 for counts. None for scores.
    error : float
        Probability at each end: .05 for 90%.
    """
    d = np.asarray(differences, float)
    n, size = len(d) + 2, _largest(d) if unit is None else unit
    centre = float(d.sum()) / n
    spread = math.sqrt(max(0.0, (float((d**2).sum()) + 2 * size**2) / n - centre**2) / n)
    return _around(float(d.mean()), spread, _quantile(error))


def cluster_sums(differences: ArrayLike, clusters: ArrayLike) -> Floats:
    """Return the sum of the differences of each cluster, in the order of the clusters' names."""
    _, which = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(which, weights=np.asarray(differences, float)).astype(float)


def cluster_interval(
    differences: ArrayLike, clusters: ArrayLike, *, unit: float | None = None, error: float = ONE_SIDED
) -> Estimate:
    """Estimate a mean change over clusters.

    The clustered standard error with the factor C/(C-1) and Student's t with C-1 degrees of freedom (Cameron &
    Miller 2015, Journal of Human Resources 50:317), and here too one cluster more of each kind of change: by the
    largest sum of a cluster that was seen, at least by one `unit`. One cluster shows nothing.
    """
    d = np.asarray(differences, float)
    mean = float(d.mean())
    sums, residuals = cluster_sums(d, clusters), cluster_sums(d - mean, clusters)
    number = len(sums)
    if number < 2:
        return Estimate(-math.inf, math.inf, math.inf)
    size = max(_largest(sums), unit or 0.0)
    more = number + 2
    spread = math.sqrt(more / (more - 1) * (float((residuals**2).sum()) + 2 * size**2)) * number / more / len(d)
    return _around(mean, spread, float(special.stdtrit(number - 1, 1 - error)))


def _largest(values: Floats) -> float:
    return float(np.abs(values).max())


def _quantile(error: float) -> float:
    return -float(special.ndtri(error))


def _around(centre: float, spread: float, z: float) -> Estimate:
    return Estimate(centre - z * spread, centre + z * spread, spread)


def wilson(accuracy: float, n: int, error: float = ONE_SIDED) -> tuple[float, float]:
    """Return the interval of an accuracy over `n` items (Wilson 1927, JASA 22:209).

    Rounds of one item are no further items: `n` is not multiplied by them.
    """
    z = _quantile(error)
    shrunk = n + z**2
    centre = (accuracy * n + z**2 / 2) / shrunk
    half = z * math.sqrt(n * accuracy * (1 - accuracy) + z**2 / 4) / shrunk
    # At 0 and 1 the ends are 0 and 1 exactly; floating point misses them by a digit.
    return (0.0 if accuracy <= 0 else max(0.0, centre - half)), (1.0 if accuracy >= 1 else min(1.0, centre + half))


def mean_interval(values: ArrayLike, error: float = ONE_SIDED) -> tuple[float, float]:
    """Return the interval of a mean score, by Student's t over items."""
    v = np.asarray(values, float)
    mean = float(v.mean())
    if len(v) < 2:
        return -math.inf, math.inf
    half = float(stats.sem(v)) * float(special.stdtrit(len(v) - 1, 1 - error))
    return mean - half, mean + half
