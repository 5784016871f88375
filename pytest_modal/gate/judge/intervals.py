"""Intervals of changes and of accuracies. Pure functions over arrays; a change of -0.043 is a drop of 4.3 points."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

Z95 = float(stats.norm.ppf(0.975))
Z95_ONE_SIDED = float(stats.norm.ppf(0.95))
SEED = 20240229
RESAMPLES = 9_999
# Means of more scores are normal to more digits than 9,999 resamples can show.
FEW = 1_000


class Estimate(NamedTuple):
    """A change: its 95% interval, its one-sided 95% lower bound, its standard error."""

    interval: tuple[float, float]
    lower: float
    standard_error: float


def count_interval(differences: ArrayLike) -> Estimate:
    """Estimate a change in counts.

    With one round each, the interval of Bonett & Price (2012), Journal of Educational and Behavioral Statistics
    37:479: one item more of each kind of change than was seen.

    Parameters
    ----------
    differences : array_like, shape (n,)
        Share of right answers now minus that then, by item.
    """
    d = np.asarray(differences, float)
    n = len(d) + 2
    centre = float(d.sum()) / n
    error = math.sqrt(max(0.0, (float((d**2).sum()) + 2) / n - centre**2) / n)
    return _around(centre, error)


def _around(centre: float, error: float, z: float = Z95, z_lower: float = Z95_ONE_SIDED) -> Estimate:
    # The change of a share cannot leave [-1, 1].
    interval = max(-1.0, centre - z * error), min(1.0, centre + z * error)
    return Estimate(interval, max(-1.0, centre - z_lower * error), error)


def wilson(accuracy: float, n: int) -> tuple[float, float]:
    """Return the 95% interval of an accuracy over `n` items (Wilson 1927, JASA 22:209).

    Rounds of one item are no further items: `n` is not multiplied by them.
    """
    shrunk = n + Z95**2
    centre = (accuracy * n + Z95**2 / 2) / shrunk
    half = Z95 * math.sqrt(n * accuracy * (1 - accuracy) + Z95**2 / 4) / shrunk
    # At 0 and 1 the ends are 0 and 1 exactly; floating point misses them by a digit.
    return (0.0 if accuracy <= 0 else max(0.0, centre - half)), (1.0 if accuracy >= 1 else min(1.0, centre + half))


def score_interval(differences: ArrayLike) -> Estimate:
    """Estimate a change in scores.

    The BCa bootstrap of the mean (Efron 1987, JASA 82:171), seeded; normal for more than `FEW` items, and where
    BCa has no answer. Differences that are all equal have an interval of no width; a single one gives [-1, 1].
    """
    d = np.asarray(differences, float)
    mean = float(d.mean())
    if len(d) == 1:
        return Estimate((-1.0, 1.0), -1.0, math.inf)
    if (d == d[0]).all():
        return Estimate((mean, mean), mean, 0.0)
    error = float(d.std(ddof=1)) / math.sqrt(len(d))
    if len(d) > FEW:
        return _around(mean, error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what BCa has no answer for is NaN, and is looked at below
        options: dict[str, Any] = {"method": "BCa", "vectorized": True, "rng": np.random.default_rng(SEED)}
        two_sided = stats.bootstrap((d,), np.mean, n_resamples=RESAMPLES, batch=2_000, **options)
        one_sided = stats.bootstrap(
            (d,), np.mean, n_resamples=0, bootstrap_result=two_sided, confidence_level=0.9, **options
        )
    low, high = map(float, two_sided.confidence_interval)
    lower = float(one_sided.confidence_interval.low)
    if not all(map(math.isfinite, (low, high, lower))):
        return _around(mean, error)
    return Estimate((low, high), lower, error)


def cluster_sums(differences: ArrayLike, clusters: ArrayLike) -> Floats:
    """Return the sum of the differences of each cluster, in the order of the clusters' names."""
    _, which = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(which, weights=np.asarray(differences, float)).astype(float)


def cluster_interval(differences: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Estimate a change over clusters.

    The clustered standard error with the factor C/(C-1) and Student's t with C-1 degrees of freedom (Cameron &
    Miller 2015, Journal of Human Resources 50:317). One cluster shows nothing: [-1, 1].
    """
    d = np.asarray(differences, float)
    mean = float(d.mean())
    residuals = cluster_sums(d - mean, clusters)
    number = len(residuals)
    if number < 2:
        return Estimate((-1.0, 1.0), -1.0, math.inf)
    error = math.sqrt(number / (number - 1) * float((residuals**2).sum())) / len(d)
    quantiles = stats.t.ppf([0.975, 0.95], number - 1)
    return _around(mean, error, *map(float, quantiles))
