"""The comparison of two arms: over all rounds, of the fresh rounds alone, and by category."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pytest_modal.gate.judge.decision import Decision, Verdict, decide, holm
from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.statistics import Change, compare, is_counts

_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Arms:
    """What became of the same items in two arms.

    Attributes
    ----------
    then, now : array, shape (n, rounds)
        The results of each round.
    clusters, categories : array of str, shape (n,), or None
    score : bool
        Whether the results are any real numbers, not shares of right answers.
    paired_rounds : bool
        Whether the rounds of both arms come together: the first ones, then the fresh ones.
    """

    then: Floats
    now: Floats
    clusters: np.ndarray[tuple[int], np.dtype[np.str_]] | None = None
    categories: np.ndarray[tuple[int], np.dtype[np.str_]] | None = None
    score: bool = False
    paired_rounds: bool = False

    def of(self, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Arms:
        """Return the arms of some items."""
        clusters = None if self.clusters is None else self.clusters[chosen]
        return Arms(self.then[chosen], self.now[chosen], clusters, None, self.score, self.paired_rounds)

    def fresh(self) -> Arms | None:
        """Return the arms with the fresh rounds alone; None without."""
        if self.now.shape[1] < 2:
            return None
        then = self.then[:, 1:] if self.paired_rounds else self.then
        return Arms(then, self.now[:, 1:], self.clusters, None, self.score, self.paired_rounds)

    def change(self, demands: Demands, error: float) -> Change:
        """Return the change, in which a gain is positive."""
        then, now = (demands.sign * each.sum(axis=1) for each in (self.then, self.now))
        rounds = self.then.shape[1], self.now.shape[1]
        return compare(then, rounds[0], now, rounds[1], self.clusters, score=self.score, error=error)

    def moved(self, demands: Demands) -> tuple[int, int]:
        """Return how many items got worse, and how many better."""
        falls, rises = flipped(self.then, self.now, demands.sign, score=self.score)
        return int(falls.sum()), int(rises.sum())


def flipped(
    then: Floats, now: Floats, sign: int = 1, *, score: bool = False
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return which items got worse, and which better.

    A count decides by the majority of its rounds; half is not a majority. A score falls or rises.
    """
    if not score and is_counts(then) and is_counts(now):
        before, after = then.mean(axis=1) > 0.5, now.mean(axis=1) > 0.5
        return before & ~after, ~before & after
    difference = sign * np.round(now.mean(axis=1) - then.mean(axis=1), _DIGITS)
    return difference < 0, difference > 0


@dataclass(frozen=True)
class Category:
    """What the decision says of one category.

    Attributes
    ----------
    p : float
        Of a drop, by Holm among the categories.
    fresh : float or None
        The accuracy in the fresh rounds alone.
    """

    name: str
    change: Change
    p: float
    verdict: Verdict
    worse: int
    better: int
    fresh: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What is known of a change. The intervals of `change` and of the categories are those of the decision."""

    change: Change
    fresh: Change | None
    decision: Decision
    worse: int
    better: int
    categories: tuple[Category, ...] = ()
    suspicious: bool = False


def compare_arms(
    arms: Arms, demands: Demands, policy: Policy, *, confirmed: bool, error: float | None = None
) -> Comparison:
    """Compare two arms.

    Parameters
    ----------
    confirmed : bool
        Whether all rounds but the first are fresh ones, which must show a drop by themselves.
    error : float, optional
        Probability at each end of the interval, if not that of the policy.
    """
    at = policy.error if error is None else error
    change = arms.change(demands, at)
    alone = arms.fresh() if confirmed else None
    fresh = None if alone is None else alone.change(demands, at)
    decision = decide(change, fresh, demands, policy, score=arms.score)
    categories, suspicious = _by_category(arms, demands, policy, confirmed=confirmed)
    worse, better = arms.moved(demands)
    change = replace(change, interval=decision.interval)
    return Comparison(change, fresh, decision, worse, better, categories, decision.suspicious or suspicious)


def _by_category(arms: Arms, demands: Demands, policy: Policy, *, confirmed: bool) -> tuple[tuple[Category, ...], bool]:
    if arms.categories is None:
        return (), False
    names = np.unique(arms.categories).tolist()
    parts = [arms.of(arms.categories == name) for name in names]
    error = policy.error / len(names)
    changes = [part.change(demands, error) for part in parts]
    drops, gains = holm([each.p for each in changes]), holm([each.p_gain for each in changes])
    found, suspicious = [], False
    for name, part, change, drop, gain in zip(names, parts, changes, drops, gains, strict=True):
        alone = part.fresh() if confirmed else None
        fresh = None if alone is None else alone.change(demands, error)
        factor = drop if change.change < 0 else gain
        decision = decide(change, fresh, demands, policy, score=arms.score, factor=factor)
        suspicious |= decision.suspicious
        said = replace(change, interval=decision.interval)
        worse, better = part.moved(demands)
        again = None if fresh is None else fresh.now
        found.append(Category(name, said, min(1.0, change.p * drop), decision.verdict, worse, better, again))
    return tuple(found), suspicious
