"""Power of a gate on counts: how often it fails at a drop, by simulation with a fixed seed.

A run is a table: how many items were right so often in the baseline, in the first round now, and in the fresh rounds.
All that the decision looks at is in it, so many runs are decided at once, whatever the number of items.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from pytest_modal.gate.judge.exact import hypergeometric
from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.gate.judge.policy import REPLICATED, SUSPICIOUS, Policy

POWER = 0.8
_AIMED_AT = 0.84  # a little more, for the error of the simulation and of the flip rate
_RUNS, _SEED = 400, 20240229
# Right answers now with a larger standard deviation are normal to all digits that count here.
_LARGE_SPREAD = 12.0

Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Design:
    """What the power of a gate depends on.

    Attributes
    ----------
    right, wrong : int
        Items that the model is able to answer, and others.
    flips : float
        How often an item is otherwise than the model is able to, in one round.
    k, confirm : int
        Rounds of the baseline, and fresh rounds.
    level, error, min_drop : float
        As of the gate.
    """

    right: int
    wrong: int
    flips: float
    k: int
    confirm: int
    level: float
    error: float
    min_drop: float

    @property
    def n(self) -> int:
        """Number of items."""
        return self.right + self.wrong


def design_of(n: int, accuracy: float, flip_rate: float, k: int, policy: Policy, min_drop: float) -> Design:
    """Return the design of a gate whose baseline has this accuracy, and rounds that differ so often."""
    flips = (1 - math.sqrt(max(0.0, 1 - 2 * flip_rate))) / 2
    right = min(n, max(0, round(n * (accuracy - flips) / (1 - 2 * flips)))) if flips < 0.5 else n
    rounded = float(f"{flips:.3g}")  # so that gates that are alike share one simulation
    return Design(right, n - right, rounded, k, policy.confirm, policy.level, policy.error, min_drop)


@functools.lru_cache(maxsize=256)
def detectable_drop(design: Design) -> float | None:
    """Return the drop at which the gate fails in 80% of the runs if nothing else changes; None if there is none.

    Between two whole numbers of items it is interpolated.
    """
    if not design.right or failing_share(design, design.right) < _AIMED_AT:
        return None
    low, high = 0, min(design.right, 4)
    while high < design.right and failing_share(design, high) < _AIMED_AT:
        low, high = high, min(design.right, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if failing_share(design, middle) >= _AIMED_AT else (middle, high)
    below, above = failing_share(design, low), failing_share(design, high)
    part = (_AIMED_AT - below) / (above - below)
    return max(design.min_drop, (low + part) / design.n)


@functools.lru_cache(maxsize=4096)
def failing_share(design: Design, lost: int, runs: int = _RUNS, seed: int = _SEED) -> float:
    """Return how often the gate fails if so many items, which the model was able to answer, fail for good."""
    return float(_fails(design, _draw(design, lost, runs, np.random.default_rng([seed, lost]))).mean())


def _cells(design: Design) -> tuple[Table, Table, Table]:
    """Return, for each cell of the table, right answers in the baseline, in the first round and in the fresh ones."""
    grid = np.meshgrid(range(design.k + 1), range(2), range(design.confirm + 1), indexing="ij")
    then, first, fresh = (axis.ravel() for axis in grid)
    return then, first, fresh


def _draw(design: Design, lost: int, runs: int, rng: np.random.Generator) -> Table:
    then, first, fresh = _cells(design)

    def chances(before: float, now: float) -> Floats:
        pmf = stats.binom.pmf
        p = pmf(then, design.k, before) * pmf(first, 1, now) * pmf(fresh, design.confirm, now)
        return np.asarray(p / p.sum(), float)

    f = design.flips
    table = rng.multinomial(design.right - lost, chances(1 - f, 1 - f), runs)
    table += rng.multinomial(lost, chances(1 - f, f), runs) + rng.multinomial(design.wrong, chances(f, f), runs)
    return table


def _fails(design: Design, table: Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    then, first, fresh = _cells(design)
    p, drop = _exact(table, then, first, design.k, 1), _drop(table, then, first, design.k, 1)
    least = design.min_drop - 1e-9
    if not design.confirm:
        return (p <= design.level) & (drop >= least) & _is_worse(design, table, then, first, 1)
    suspicious = (p <= SUSPICIOUS) & (drop >= least)
    m, now = 1 + design.confirm, first + fresh
    p, drop = _exact(table, then, now, design.k, m), _drop(table, then, now, design.k, m)
    sure = (p <= design.level) & (drop >= least) & _is_worse(design, table, then, now, m)
    p, drop = _exact(table, then, fresh, design.k, design.confirm), _drop(table, then, fresh, design.k, design.confirm)
    return suspicious & sure & (p <= REPLICATED) & (drop >= least)


def _drop(table: Table, then: Table, now: Table, k: int, m: int) -> Floats:
    return np.asarray(table @ (then / k - now / m) / table.sum(axis=1), float)


def _is_worse(design: Design, table: Table, then: Table, now: Table, m: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether the interval of `change_interval` is below zero, and the drop that of more than one item."""
    d = now / m - then / design.k
    total, n = table @ d, design.n + 2
    spread = np.sqrt(np.maximum(0, (table @ d**2 + 2) / n - (total / n) ** 2) / n)
    below = total / design.n + float(special.ndtri(1 - design.error)) * spread < 0
    return np.asarray(below & (np.where(table > 0, d, np.inf).min(axis=1) - total >= 0.5), bool)


def _exact(table: Table, then: Table, now: Table, k: int, m: int) -> Floats:
    """Return the p-value of `exact_test` for each run."""
    all_rounds, in_all = k + m, then + now
    s = np.arange(1, all_rounds)
    items = np.stack([table[:, in_all == each].sum(axis=1) for each in s], axis=1)
    right = table @ np.where((in_all > 0) & (in_all < all_rounds), now, 0)
    mean = items @ (s * m / all_rounds)
    spread = np.sqrt(items @ (s * (all_rounds - s) * k * m / (all_rounds**2 * (all_rounds - 1))))
    p = np.asarray(special.ndtr((right + 0.5 - mean) / np.maximum(spread, 1e-9)), float)
    few = spread < _LARGE_SPREAD
    if few.any():
        p[few] = _by_characteristic_function(items[few], right[few], mean[few], k, m)
    return p


def _by_characteristic_function(items: Table, right: Table, mean: Floats, k: int, m: int) -> Floats:
    length = 16 * int(_LARGE_SPREAD)
    omega = 2 * np.pi * np.arange(length) / length
    begun = np.floor(mean).astype(int) - length // 2
    values = np.exp(items @ _logarithms(k, m, length) - 1j * omega[None] * begun[:, None])
    cumulated = np.cumsum(np.fft.fft(values, axis=1).real / length, axis=1)
    place = np.clip(right - begun, 0, length - 1)
    return np.asarray(np.clip(cumulated[np.arange(len(items)), place], 0, 1), float)


@functools.cache
def _logarithms(k: int, m: int, length: int) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """Return logarithms of the characteristic functions of items that are right once, twice, ... in all rounds."""
    omega = 2 * np.pi * np.arange(length) / length
    rows = []
    for s in range(1, k + m):
        y = np.arange(max(0, s - k), min(s, m) + 1)
        rows.append(np.log(hypergeometric(k, m, s) @ np.exp(1j * omega[None] * y[:, None]) + 1e-300))
    return np.array(rows)
