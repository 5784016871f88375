"""False alarms and detections of ways to gate an accuracy, the project's own among them.

    python benchmarks/gate_table.py [RUNS] [SEED]

A model is able to get each of `n` items right with probability .75; in every round each item flips, right to wrong or
back, with probability `f`. At a true drop of `d` points so many right items fail for good. In each of RUNS simulated
runs (1,000 by default; 10,000 for the figures of a release, some minutes) a baseline is recorded before the drop and
gated after it:

* accuracy at least that of one earlier run minus .02, or within 5% of it (`pytest.approx(rel=0.05)`, one-sided);
* the unpaired z-test and the exact McNemar test against one earlier run, each at .05;
* pytest-modal: five rounds then, one round now, two fresh rounds where the first is suspicious.

Every cell is the share of runs that fail. The exit status is 1 if pytest-modal raises false alarms in more than 1%
of the runs of a row, by more than the error of the simulation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from pytest_modal.gate.judge.policy import Policy
from pytest_modal.gate.judge.statistics import compare, exact_test
from pytest_modal.gate.judge.verdict import Verdict, decide

Array = np.ndarray[Any, Any]
BASE, DROPS, ROUNDS = 0.75, (0.0, 0.01, 0.03, 0.05, 0.10), 5
ROWS = ((50, 0.02), (200, 0.02), (200, 0.05), (1000, 0.02))
POLICY, MIN_DROP = Policy(confirm=2), 0.005
WAYS = ("accuracy - .02", "rtol 5%", "unpaired z", "McNemar .05", "pytest-modal")


class Model:
    """A model whose answers flip; `right` says which items it is able to answer."""

    def __init__(self, n: int, flips: float, rng: np.random.Generator) -> None:
        self.flips, self.rng = flips, rng
        self.right = rng.random(n) < BASE

    def round(self) -> Array:
        """Return which items are right in one round."""
        return self.right ^ (self.rng.random(len(self.right)) < self.flips)

    def drop(self, share: float) -> None:
        """Let so many items fail for good; a fraction of an item is one by chance."""
        wanted = share * len(self.right)
        number = int(wanted) + int(self.rng.random() < wanted % 1)
        self.right = self.right.copy()
        self.right[self.rng.permutation(np.flatnonzero(self.right))[:number]] = False


def others(then: Array, now: Array) -> Iterator[bool]:
    """Yield whether each of the other ways fails, given one round then and one now."""
    n, before, after = len(then), then.mean(), now.mean()
    yield after < before - 0.02 - 1e-9
    yield after < 0.95 * before - 1e-9
    mean = (before + after) / 2
    error = math.sqrt(2 * mean * (1 - mean) / n)
    yield error > 0 and stats.norm.cdf((after - before) / error) <= 0.05
    yield exact_test(then, 1, now, 1)[0] <= 0.05


def ours(then: Array, model: Model, now: Array) -> bool:
    """Return whether pytest-modal's gate fails, with fresh rounds where it wants them."""
    decision = decide(compare(then, ROUNDS, now, 1), None, MIN_DROP, POLICY)
    if decision.wants_confirmation:
        pooled = now + sum(model.round().astype(int) for _ in range(POLICY.confirm))
        decision = decide(compare(then, ROUNDS, pooled, 1 + POLICY.confirm), None, MIN_DROP, POLICY)
    return decision.verdict is Verdict.FAIL


def failures(n: int, flips: float, drop: float, runs: int, rng: np.random.Generator) -> Array:
    """Return the share of runs in which each way fails, in the order of `WAYS`."""
    failed = np.zeros(len(WAYS))
    for _ in range(runs):
        model = Model(n, flips, rng)
        rounds = [model.round().astype(int) for _ in range(ROUNDS)]
        model.drop(drop)
        now = model.round().astype(int)
        failed += [*others(rounds[0], now), ours(np.sum(rounds, axis=0), model, now)]
    return failed / runs


def main(runs: int, seed: int) -> int:
    """Simulate, print, and return the exit status."""
    rng = np.random.default_rng(seed)
    print(f"failing runs in %, at a true drop of {'/'.join(f'{100 * drop:g}' for drop in DROPS)} points; {runs:,} runs")
    print(f"{'n, f':<10}" + "".join(f"{way:>30}" for way in WAYS))
    too_many = False
    for n, flips in ROWS:
        shares = np.array([failures(n, flips, drop, runs, rng) for drop in DROPS])
        cells = ["/".join(f"{100 * share:.3g}" for share in column) for column in shares.T]
        print(f"{f'{n}, {100 * flips:g}%':<10}" + "".join(f"{cell:>30}" for cell in cells), flush=True)
        too_many |= bool(shares[0, -1] * runs > stats.binom.ppf(0.999, runs, 0.01))
    return int(too_many)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*arguments, *(1_000, 0)[len(arguments) :]))
