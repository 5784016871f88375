"""The bars of the accuracy gate, simulated from the project's own code with fixed seeds.

    python benchmarks/gate_table.py [SHARE] [PART ...]

A model is able to get each of `n` items right with probability .75; in every round each item flips, right to wrong or
back, with probability `f`. A baseline of five rounds is recorded before a change, and gated after it by one round and,
where that is suspicious, four fresh ones. SHARE scales the number of simulated runs (1 by default: minutes; .02 is
what the tests run), a PART is one of the functions below that are named in `PARTS`.

Each figure is printed with its bar and the error of the simulation; the exit status is 1 if one misses its bar by more
than that.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy import stats

from pytest_modal.gate.judge.comparison import Arms, Comparison, compare_arms
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.exact import exact_test
from pytest_modal.gate.judge.joint import joint_test
from pytest_modal.gate.judge.policy import Demands, Origin, Policy
from pytest_modal.gate.judge.sensitivity import Sensitivity, sensitivity
from pytest_modal.gate.judge.update import plan_update
from pytest_modal.gate.judge.verdict import judge

Array = np.ndarray[Any, Any]
BASE, ROUNDS, FRESH = 0.75, 5, 4
POLICY, DEMANDS, ORIGIN = Policy(confirm=FRESH), Demands(), Origin()
TEN = replace(POLICY, gates=10)
OTHERS = ("1 point", "2 points", "3 points", "two proportions", "2 stderr", "McNemar .05")
WAYS = (
    *(f"{way}, {rounds}" for rounds in ("1 v 1", "5 v 5") for way in OTHERS),
    "mean, 3 v 5",
    "FAIL",
    "FAIL or CHANGED",
)


@dataclass(frozen=True)
class Figure:
    """A simulated share, and the range that it must be in."""

    what: str
    share: float
    runs: int
    least: float = 0.0
    most: float = 1.0

    @property
    def error(self) -> float:
        """Three standard errors of the simulation."""
        return 3 * math.sqrt(max(self.share * (1 - self.share), 1 / self.runs) / self.runs)

    @property
    def missed(self) -> bool:
        """Whether it is out of its range by more than the error of the simulation."""
        return self.share - self.error > self.most or self.share + self.error < self.least

    def __str__(self) -> str:
        low, high = (f"{100 * bar:g}" for bar in (self.least, self.most))
        bar = f"{low} to {high}" if self.least and self.most < 1 else f">= {low}" if self.least else f"<= {high}"
        bar = "no bar" if (self.least, self.most) == (0, 1) else f"bar {bar}"
        mark = "  MISSED" if self.missed else ""
        return f"{self.what:<58}{100 * self.share:7.2f}% +- {100 * self.error:.2f}  ({bar}){mark}"


def able(rng: np.random.Generator, n: int) -> Array:
    """Return which items a model is able to get right."""
    return rng.random(n) < BASE


def rounds(rng: np.random.Generator, right: Array, flips: float, many: int) -> Array:
    """Return what becomes of each item in so many rounds."""
    return (right[:, None] ^ (rng.random((len(right), many)) < flips)).astype(float)


def dropped(rng: np.random.Generator, right: Array, share: float) -> Array:
    """Let so many right items fail for good; a fraction of an item is one by chance."""
    wanted = share * len(right)
    number = int(wanted) + int(rng.random() < wanted % 1)
    left = right.copy()
    left[rng.permutation(np.flatnonzero(right))[:number]] = False
    return left


def swapped(rng: np.random.Generator, right: Array, share: float) -> Array:
    """Let a share of the items swap sides, so that the expected accuracy stays."""
    chance = np.where(right, share / 2 / BASE, share / 2 / (1 - BASE))
    return right ^ (rng.random(len(right)) < chance)


def gate(then: Array, first: Array, fresh: Callable[[], Array], policy: Policy = POLICY) -> tuple[Comparison, bool]:
    """Return what the gate says, and whether it took fresh rounds."""
    comparison = compare_arms(Arms(then, first), DEMANDS, policy, confirmed=True)
    if not (comparison.suspicious and policy.confirm):
        return comparison, False
    return compare_arms(Arms(then, np.hstack([first, fresh()])), DEMANDS, policy, confirmed=True), True


def gated(
    rng: np.random.Generator, then: Array, now: Array, flips: float, policy: Policy = POLICY
) -> tuple[Comparison, bool]:
    """Return what the gate says of a model that is able to do `now`."""
    return gate(then, rounds(rng, now, flips, 1), lambda: rounds(rng, now, flips, FRESH), policy)


def share_of(runs: int, run: Callable[[], bool]) -> float:
    """Return how often a run says yes."""
    return sum(run() for _ in range(runs)) / runs


def _failed(comparison: Comparison) -> bool:
    return comparison.decision.verdict is Verdict.FAIL


def false_alarms(scale: float) -> Iterator[Figure]:
    """Re-run noise only: how often a gate fails, and a suite of ten; how many gates take fresh rounds."""
    for n, flips in ((50, 0.02), (200, 0.01), (200, 0.02), (200, 0.05), (1000, 0.01), (1000, 0.02)):
        rng, runs = (
            np.random.default_rng([1, n, int(1e4 * flips)]),
            max(50, int(scale * (20_000 if n < 1000 else 10_000))),
        )

        def run(n: int = n, flips: float = flips, rng: np.random.Generator = rng) -> bool:
            right = able(rng, n)
            return _failed(gated(rng, rounds(rng, right, flips, ROUNDS), right, flips)[0])

        yield Figure(f"false alarms, n={n}, f={100 * flips:g}%", share_of(runs, run), runs, most=0.005)
    for n, flips in ((200, 0.02), (1000, 0.01)):
        yield from _ten_gates(scale, n, flips, 0.0, 0.01, "unchanged")


def _ten_gates(scale: float, n: int, flips: float, swaps: float, most: float, what: str) -> Iterator[Figure]:
    rng, runs = np.random.default_rng([2, n, int(1e4 * swaps)]), max(20, int(2_000 * scale))
    red = opened = together = 0
    for _ in range(runs):
        parts, failed = [], False
        for _ in range(10):
            right = able(rng, n)
            comparison, took = gated(rng, rounds(rng, right, flips, ROUNDS), swapped(rng, right, swaps), flips, TEN)
            opened += took
            failed |= _failed(comparison)
            values, counts = np.unique(comparison.change.differences, return_counts=True)
            parts.append({"n": n, "values": values, "counts": counts})
        joint = joint_test(parts)
        assert joint is not None
        together += not failed and joint.worse
        red += failed or joint.worse
    yield Figure(f"ten gates {what}, n={n}: red runs", red / runs, runs, most=most)
    yield Figure(f"ten gates {what}, n={n}: red by the joint test alone", together / runs, runs)
    if not swaps:
        yield Figure(f"ten gates {what}, n={n}: gates with fresh rounds", opened / runs / 10, 10 * runs)


def honest_changes(scale: float) -> Iterator[Figure]:
    """Changes that make nothing worse: so many of the items swap sides."""
    flips = 0.01
    for n in (50, 200, 1000):
        for swaps in (0.02, 0.05, 0.2):
            rng, runs = (
                np.random.default_rng([3, n, int(1e4 * swaps)]),
                max(50, int(scale * (8_000 if n < 1000 else 4_000))),
            )

            def run(n: int = n, swaps: float = swaps, rng: np.random.Generator = rng) -> bool:
                right = able(rng, n)
                then = rounds(rng, right, flips, ROUNDS)
                return _failed(gated(rng, then, swapped(rng, right, swaps), flips)[0])

            yield Figure(f"honest change, n={n}, {100 * swaps:g}% swap", share_of(runs, run), runs, most=0.05)
    for n, swaps in ((200, 0.05), (200, 0.2), (1000, 0.2)):
        yield from _ten_gates(scale / 2, n, flips, swaps, 0.10, f"with {100 * swaps:g}% swapped")


def sessions(scale: float) -> Iterator[Figure]:
    """Sessions flip 1 to 5% of the items each; the rounds of the baseline are from five of them, or from one.

    Each fresh round is a session of its own.
    """
    flips = 0.01
    for n in (200, 1000):
        for share in (0.01, 0.02, 0.05):
            for recorded in (5, 1):
                seed = [4, n, int(1e4 * share), recorded]
                rng, runs = np.random.default_rng(seed), max(50, int(scale * (8_000 if n < 1000 else 4_000)))

                def run(
                    n: int = n, share: float = share, recorded: int = recorded, rng: np.random.Generator = rng
                ) -> bool:
                    right = able(rng, n)

                    def session() -> Array:
                        return right ^ (rng.random(n) < share)

                    each = [session() for _ in range(recorded)]
                    then = np.hstack([rounds(rng, each[index % recorded], flips, 1) for index in range(ROUNDS)])
                    first = rounds(rng, session(), flips, 1)

                    def fresh() -> Array:
                        return np.hstack([rounds(rng, session(), flips, 1) for _ in range(FRESH)])

                    return _failed(gate(then, first, fresh)[0])

                what = f"sessions flip {100 * share:g}%, n={n}, rounds from {recorded}"
                yield Figure(what, share_of(runs, run), runs, most=0.012 if recorded == 5 else 1.0)


def power(scale: float) -> Iterator[Figure]:
    """How often true drops fail, or are at least seen to have changed something."""
    cases = ((200, 0.02, 0.03, 0.70, 0.77), (1000, 0.01, 0.01, 0.84, 0.87), (200, 0.01, 0.03, 0.88, 0.96))
    for n, flips, drop, fail, seen in cases:
        rng, runs = np.random.default_rng([5, n, int(1e4 * flips)]), max(50, int(4_000 * scale))
        found = dict.fromkeys(Verdict, 0)
        for _ in range(runs):
            right = able(rng, n)
            then = rounds(rng, right, flips, ROUNDS)
            found[gated(rng, then, dropped(rng, right, drop), flips)[0].decision.verdict] += 1
        what = f"drop of {100 * drop:g} points, n={n}, f={100 * flips:g}%"
        yield Figure(f"{what}: FAIL", found[Verdict.FAIL] / runs, runs, least=fail)
        both = found[Verdict.FAIL] + found[Verdict.CHANGED]
        yield Figure(f"{what}: FAIL or CHANGED", both / runs, runs, least=seen)
    yield from _joint_power(scale)


def _joint_power(scale: float) -> Iterator[Figure]:
    rng, runs, n, flips = np.random.default_rng(55), max(20, int(300 * scale)), 1000, 0.01
    seen = 0
    for _ in range(runs):
        parts = []
        for _ in range(10):
            right = able(rng, n)
            then, now = rounds(rng, right, flips, ROUNDS), rounds(rng, dropped(rng, right, 0.007), flips, 1)
            values, counts = np.unique(Arms(then, now).change(DEMANDS, 0.05).differences, return_counts=True)
            parts.append({"n": n, "values": values, "counts": counts})
        joint = joint_test(parts)
        seen += joint is not None and joint.worse
    yield Figure("ten gates of n=1000 lose .7 points each: joint test", seen / runs, runs)


def evaluation(results: Array) -> Evaluation:
    """Return results as an evaluation."""
    ids = tuple(f"{index:06}" for index in range(len(results)))
    return Evaluation(ids, results, ("x",) * len(ids), (None,) * len(ids), (None,) * len(ids))


def drift(scale: float) -> Iterator[Figure]:
    """A gain of five points, then twelve releases that lose a quarter of a point each, all recorded if they may be."""
    # What a gate could see is no part of the decision, and takes most of the time.
    unknown = Sensitivity(200, None, 0.0, 0.01, too_small=False)
    with patch("pytest_modal.gate.judge.verdict.sensitivity", return_value=unknown):
        stopped, runs = _stopped_drifts(max(20, int(1_000 * scale)))
    yield Figure("drift after a gain is stopped, n=200", stopped / runs, runs, least=0.88)


def _stopped_drifts(runs: int) -> tuple[int, int]:
    n, flips, stopped = 200, 0.02, 0
    rng = np.random.default_rng(6)
    for _ in range(runs):
        right, baseline = able(rng, n), None
        for release in range(14):
            if release == 1:
                wrong = np.flatnonzero(~right)
                right = right.copy()
                right[rng.permutation(wrong)[: n // 20]] = True
            elif release > 1:
                right = dropped(rng, right, 0.0025)
            if baseline is not None and _failed(gated(rng, baseline.results, right, flips)[0]):
                stopped += 1
                break
            now = evaluation(rounds(rng, right, flips, ROUNDS))
            policy = replace(POLICY, updating=True)
            common: dict[str, Any] = {"demands": DEMANDS, "policy": policy, "origin": ORIGIN, "where": "", "test": ""}
            result = judge("drift", now, baseline, **common)
            update = plan_update(result, now, baseline, origins=[ORIGIN] * ROUNDS, date=f"{release:02}")
            if update.refused:
                stopped += 1
                break
            baseline = update.baseline or baseline
    return stopped, runs


def inconclusive(scale: float) -> Iterator[Figure]:
    """An unchanged model and a small gate."""
    for flips in (0.01, 0.02, 0.05):
        rng, runs = np.random.default_rng([7, int(1e4 * flips)]), max(50, int(10_000 * scale))

        def run(flips: float = flips, rng: np.random.Generator = rng) -> bool:
            right = able(rng, 50)
            then = rounds(rng, right, flips, ROUNDS)
            return gated(rng, then, right, flips)[0].decision.verdict is Verdict.INCONCLUSIVE

        yield Figure(f"INCONCLUSIVE, unchanged, n=50, f={100 * flips:g}%", share_of(runs, run), runs, most=0.05)


def detection(scale: float) -> Iterator[Figure]:
    """Gates that say "sees a drop of X (80% power)": how often a drop of X fails, and nothing else changes."""
    for n, flips in ((50, 0.02), (200, 0.0), (200, 0.01), (200, 0.02), (200, 0.05), (1000, 0.01), (5000, 0.02)):
        for confirm in (FRESH, 0):
            policy = replace(POLICY, confirm=confirm)
            rng, runs = (
                np.random.default_rng([8, n, int(1e4 * flips)]),
                max(50, int(scale * (2_000 if n < 5000 else 500))),
            )
            said = []
            for _ in range(7):
                sums = rounds(rng, able(rng, n), flips, ROUNDS).sum(axis=1)
                said.append(sensitivity(sums, ROUNDS, policy).detectable)
            drops = [drop for drop in said if drop is not None]
            if not drops:
                continue
            drop = float(np.median(drops))

            def run(
                n: int = n,
                flips: float = flips,
                drop: float = drop,
                policy: Policy = policy,
                rng: np.random.Generator = rng,
            ) -> bool:
                right = able(rng, n)
                then = rounds(rng, right, flips, ROUNDS)
                return _failed(gated(rng, then, dropped(rng, right, drop), flips, policy)[0])

            what = f"sees {100 * drop:.2f} points, n={n}, f={100 * flips:g}%, {confirm} fresh"
            # A drop below min_drop never fails: where that is what is said, it is seen more often.
            most = 1.0 if drop <= DEMANDS.min_drop else 0.90
            yield Figure(what, share_of(runs, run), runs, least=0.76, most=most)


def failures(n: int, flips: float, drop: float, runs: int, rng: np.random.Generator, swaps: float = 0.0) -> Array:
    """Return the share of runs in which each way fails, in the order of `WAYS`.

    The others have one round each, or five of everything in every run; the gate has its four fresh ones in a few runs.
    """
    failed = np.zeros(len(WAYS))
    for _ in range(runs):
        right = able(rng, n)
        then, now = rounds(rng, right, flips, ROUNDS), swapped(rng, dropped(rng, right, drop), swaps)
        first = rounds(rng, now, flips, 1)
        more = np.hstack([first, rounds(rng, now, flips, FRESH)])
        verdict = gate(then, first, lambda more=more: more[:, 1:])[0].decision.verdict
        three = more[:, :3].mean() < then.mean() - 0.018 * math.sqrt(200 / n) - 1e-9
        ours = [verdict is Verdict.FAIL, verdict in (Verdict.FAIL, Verdict.CHANGED)]
        failed += [*_others(then[:, :1], first), *_others(then, more), three, *ours]
    return failed / runs


def _others(then: Array, now: Array) -> Iterator[bool]:
    """Yield whether each of the other ways fails: rounds are averaged, or for McNemar's test the majority decides."""
    n, before, after = len(then), then.mean(), now.mean()
    for tolerance in (0.01, 0.02, 0.03):
        yield after < before - tolerance - 1e-9
    mean = (before + after) / 2
    error = math.sqrt(2 * mean * (1 - mean) / n)
    yield error > 0 and stats.norm.cdf((after - before) / error) <= 0.05
    yield after < before - 2 * math.sqrt(before * (1 - before) / n)
    yield exact_test(then.mean(axis=1) > 0.5, 1, now.mean(axis=1) > 0.5, 1)[0] <= 0.05


PARTS: dict[str, Callable[[float], Iterator[Figure]]] = {
    "false_alarms": false_alarms,
    "honest_changes": honest_changes,
    "sessions": sessions,
    "power": power,
    "drift": drift,
    "inconclusive": inconclusive,
    "detection": detection,
}


def main(scale: float = 1.0, *parts: str) -> int:
    """Simulate, print, and return the exit status."""
    missed = 0
    for name in parts or PARTS:
        for figure in PARTS[name](scale):
            print(figure, flush=True)
            missed += figure.missed
    if not parts:
        _rivals(scale)
    return int(missed > 0)


def _rivals(scale: float) -> None:
    drops, runs = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05), max(20, int(1_000 * scale))
    of = "/".join(f"{100 * drop:g}" for drop in drops)
    print(f"failing runs in %, at a true drop of {of} points, and where 5% of the items swap sides; {runs:,} runs")
    for n, flips in ((200, 0.02), (1000, 0.02)):
        rng = np.random.default_rng([9, n])
        shares = np.array(
            [*(failures(n, flips, drop, runs, rng) for drop in drops), failures(n, flips, 0, runs, rng, 0.05)]
        )
        for way, column in zip(WAYS, shares.T, strict=True):
            *lost, honest = (f"{100 * share:.3g}" for share in column)
            print(f"n={n}, f={100 * flips:g}%  {way:<24}{'/'.join(lost)}  {honest}", flush=True)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(float(arguments[0]) if arguments else 1.0, *arguments[1:]))
