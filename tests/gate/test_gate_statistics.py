"""The numbers of the gate: exact tests, intervals, and what a gate is able to see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_modal.gate.judge.intervals import (
    FEW,
    cluster_interval,
    cluster_sums,
    count_interval,
    score_interval,
    wilson,
)
from pytest_modal.gate.judge.statistics import (
    SMALLEST_P,
    compare,
    detectable_drop,
    exact_test,
    flip_rate,
    sign_flip_test,
    smallest_exact_p,
)

# 200 items of five rounds; now 134 of those never wrong are right, 3 of those wrong once, and no other.
THEN = [5] * 140 + [4] * 6 + [1] * 4 + [0] * 50
NOW = [1] * 134 + [0] * 6 + [1] * 3 + [0] * 57


def digits(value: float) -> Any:
    """Return a number to compare with, to the digits of the published figures."""
    return pytest.approx(value, rel=5e-6, abs=5e-8)


@pytest.mark.parametrize(
    ("failing", "passing", "p"),
    [(12, 3, 0.017578125), (4, 0, 0.0625), (5, 0, 0.03125), (7, 0, 0.0078125), (10, 4, 0.0897827), (0, 0, 1)],
)
def test_one_round_on_each_side_is_mcnemars_test(failing: int, passing: int, p: float) -> None:
    then, now = [1] * failing + [0] * passing + [1, 0], [0] * failing + [1] * passing + [1, 0]
    assert exact_test(then, 1, now, 1)[0] == digits(p)


@pytest.mark.parametrize(
    ("k", "then", "m", "now", "p"),
    [
        (5, [5, 5, 5, 0], 1, [0, 1, 1, 0], 1 / 6),
        (5, [5, 5, 4, 0], 1, [0, 0, 1, 0], 0.0740741),
        (5, [5, 5, 5, 1], 1, [0, 0, 0, 0], 0.00385802),
        (5, [5] * 50, 1, [0, 0] + [1] * 48, 1 / 36),
        (5, [5, 5, 5], 2, [0, 1, 2], 0.0136054),
        (2, [2, 2, 1, 0], 1, [0, 1, 1, 0], 0.555556),
        (3, [3] * 10, 3, [1, 2] + [3] * 8, 0.1),
        (5, THEN, 1, NOW, 3.31106e-05),
    ],
)
def test_several_rounds(k: int, then: list[int], m: int, now: list[int], p: float) -> None:
    assert exact_test(then, k, now, m)[0] == digits(p)


def test_a_gain_is_the_mirrored_drop() -> None:
    assert exact_test([0, 0, 0, 5], 5, [1, 1, 1, 1], 1)[1] == digits(0.00462963)


def test_change_and_interval_of_a_real_regression() -> None:
    change = compare(THEN, 5, NOW, 1)
    assert (change.then, change.now) == (0.728, 0.685)
    assert change.change == pytest.approx(-0.043)
    assert change.interval == (pytest.approx(-0.07300, abs=5e-6), pytest.approx(-0.01215, abs=5e-6))
    assert change.lower == pytest.approx(sum(change.interval) / 2 - 1.644854 * change.standard_error)
    assert flip_rate(THEN, 5) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("failing", "passing", "low", "high"), [(12, 3, -0.0840855, -0.0050235), (0, 0, -0.0137218, 0.0137218)]
)
def test_interval_of_bonett_and_price(failing: int, passing: int, low: float, high: float) -> None:
    differences = [-1] * failing + [1] * passing + [0] * (200 - failing - passing)
    assert count_interval(differences).interval == (pytest.approx(low, abs=5e-8), pytest.approx(high, abs=5e-8))


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(150, 200, 0.6856590, 0.8049183), (50, 50, 0.9286524, 1), (0, 50, 0, 0.0713476)],
)
def test_interval_of_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right / n, n) == (pytest.approx(low, abs=5e-8), pytest.approx(high, abs=5e-8))


def test_clusters_flip_as_wholes() -> None:
    assert sign_flip_test([0, -1, -5, 0, 0, 0, 0, 0])[0] == 0.25
    then, now = [1] * 16, [1, 1, 0, 1] + [0] * 5 + [1] * 7
    clusters = ["a", "a", "b", "b", *"ccccc", "d", "d", "e", "f", "g", "h", "h"]
    assert cluster_sums(np.subtract(now, then), clusters).tolist() == [0, -1, -5, 0, 0, 0, 0, 0]
    change = compare(then, 1, now, 1, clusters)
    assert change.p == 0.25
    assert change.method == "sign flips of 8 cluster sums"


def test_clustered_standard_error_is_the_plain_one_when_every_item_is_a_cluster() -> None:
    differences = np.array([0.1, -0.2, 0.0, -0.5, 0.3])
    estimate = cluster_interval(differences, list("abcde"))
    assert estimate.standard_error == pytest.approx(differences.std(ddof=1) / math.sqrt(5))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert estimate.interval == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_items_of_one_cluster_count_less_than_independent_ones() -> None:
    differences = np.repeat([-1.0, 0.0, 0.0, 0.0], 10)
    alone = cluster_interval(differences, np.arange(40)).standard_error
    assert cluster_interval(differences, np.repeat(np.arange(4), 10)).standard_error > 2 * alone


def test_scores_are_compared_by_sign_flips() -> None:
    then = [0.82, 0.91, 0.77, 0.68, 0.95, 0.88, 0.73, 0.81, 0.90, 0.79]
    now = [0.80, 0.90, 0.70, 0.69, 0.93, 0.85, 0.70, 0.80, 0.86, 0.78]
    change = compare(then, 1, now, 1)
    assert change.p == digits(0.00488281)
    assert change.interval[0] < change.change < change.interval[1] < 0
    assert compare(then, 1, now, 1) == change  # seeded
    # Five equal rounds sum up to other last digits, which is no change.
    assert compare(np.sum([then] * 5, axis=0), 5, then, 1).p == 1


def test_equal_scores_have_p_one_and_an_interval() -> None:
    change = compare([0.5, 0.25], 1, [0.5, 0.25], 1)
    assert (change.p, change.p_gain, change.interval, change.changed) == (1, 1, (0, 0), False)
    assert score_interval([-0.1, -0.1, -0.1]).interval == (pytest.approx(-0.1), pytest.approx(-0.1))
    assert score_interval([-0.1]).interval == (-1, 1)
    assert all(map(math.isfinite, score_interval([-1.0, 0.0]).interval))


def test_many_scores_are_as_few_ones() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(-0.002, 0.1, 3 * FEW)
    normal = stats.norm.cdf(differences.sum() / math.sqrt((differences**2).sum()))
    assert sign_flip_test(differences)[0] == pytest.approx(normal, abs=0.02)
    # Three lost items in a sea of rounding errors: one of eight ways to set three signs, for all of the sea.
    sea = rng.choice([-1e-6, 1e-6], 10 * FEW)
    assert sign_flip_test([-1.0, -1.0, -1.0, *sea])[0] == pytest.approx(1 / 8, abs=0.07)
    low, high = score_interval(differences).interval
    assert (low, high) == pytest.approx(stats.norm.interval(0.95, differences.mean(), stats.sem(differences)))


counts = st.integers(1, 4).flatmap(
    lambda k: st.integers(1, 3).flatmap(
        lambda m: st.tuples(
            st.just(k), st.just(m), st.lists(st.tuples(st.integers(0, k), st.integers(0, m)), min_size=1, max_size=30)
        )
    )
)


@given(counts)
def test_p_values_are_probabilities_and_mirror_each_other(case: Any) -> None:
    k, m, pairs = case
    then, now = (np.array(side) for side in zip(*pairs, strict=True))
    down, up = exact_test(then, k, now, m)
    assert 0 < down <= 1
    assert 0 < up <= 1
    assert down + up >= 1 - 1e-9  # both count what was seen
    assert exact_test(k - then, k, m - now, m) == (pytest.approx(up), pytest.approx(down))
    assert exact_test(then, k, np.zeros_like(now), m)[0] == pytest.approx(smallest_exact_p(then, k, m))
    assert down >= smallest_exact_p(then, k, m) * (1 - 1e-9)


@given(counts)
def test_p_is_that_of_all_assignments_of_rounds(case: Any) -> None:
    k, m, pairs = case
    totals = [c + y for c, y in pairs]
    # The definition, one item after the other and without powers.
    null = {0: 1.0}
    for s in totals:
        grown: dict[int, float] = {}
        for y in range(max(0, s - k), min(s, m) + 1):
            chance = math.comb(m, y) * math.comb(k, s - y) / math.comb(k + m, s)
            for total, p in null.items():
                grown[total + y] = grown.get(total + y, 0) + p * chance
        null = grown
    t = sum(y for _, y in pairs)
    expected = sum(p for total, p in null.items() if total <= t)
    then, now = zip(*pairs, strict=True)
    assert exact_test(then, k, now, m)[0] == pytest.approx(min(1, expected))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 20))
def test_one_round_each_is_the_binomial_test_of_the_discordant(failing: int, passing: int, same: int) -> None:
    then, now = [1] * failing + [0] * passing + [1] * (same + 1), [0] * failing + [1] * passing + [1] * (same + 1)
    expected = stats.binomtest(passing, failing + passing, alternative="less").pvalue if failing + passing else 1
    assert exact_test(then, 1, now, 1)[0] == pytest.approx(expected)


@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=8))
def test_sign_flips_of_few_differences_are_exact(differences: list[float]) -> None:
    rounded = np.round(differences, 2)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(rounded))).reshape(len(rounded), -1)
    totals = np.abs(rounded) @ signs
    expected = (totals <= rounded.sum() + 1e-9).mean()
    assert sign_flip_test(rounded)[0] == pytest.approx(expected, abs=1e-9)


def test_tails_too_small_to_tell_are_not_zero() -> None:
    down, up = exact_test([5] * 2_000, 5, [0] * 2_000, 1)
    assert down == SMALLEST_P
    assert up == 1


def test_a_100_000_items_keep_their_precision() -> None:
    n = 100_000
    then, now = np.arange(n) % 2, (np.arange(n) + 1) % 2
    now[:600] = 0
    failing, passing = int((then > now).sum()), int((then < now).sum())
    expected = stats.binom.cdf(passing, failing + passing, 0.5)
    assert exact_test(then, 1, now, 1)[0] == pytest.approx(expected, rel=1e-9)


def test_what_a_gate_sees() -> None:
    assert detectable_drop([5] * 200, 5, 1, 0.01) == 3 / 200  # deterministic: three items, (1/6)^3 < .01
    assert detectable_drop([5, 5], 5, 1, 0.01) is None
    assert smallest_exact_p([5, 5], 5, 1) == pytest.approx(1 / 36)
    assert smallest_exact_p([0] * 100, 5, 1) == 1
    noisy, quiet = detectable_drop(THEN, 5, 1, 0.01), detectable_drop([5] * 146 + [0] * 54, 5, 1, 0.01)
    assert noisy is not None
    assert quiet is not None
    assert noisy > quiet
    assert (detectable_drop(THEN, 5, 3, 0.01) or 1) < noisy  # fresh rounds see more


@pytest.mark.parametrize(("n", "flips", "m"), [(200, 0.02, 1), (200, 0.02, 3), (1000, 0.02, 1), (200, 0.05, 1)])
def test_the_drop_that_is_said_to_be_seen_is_seen_in_four_of_five_runs(n: int, flips: float, m: int) -> None:
    rng, seen, runs = np.random.default_rng(n + m), 0, 200
    for _ in range(runs):
        able = np.arange(n) < 0.75 * n
        then = sum((able ^ (rng.random(n) < flips)).astype(int) for _ in range(5))
        drop = detectable_drop(then, 5, m, 0.01)
        assert drop is not None
        failing = rng.permutation(np.flatnonzero(able))[: round(drop * n)]
        left = able & ~np.isin(np.arange(n), failing)
        now = sum((left ^ (rng.random(n) < flips)).astype(int) for _ in range(m))
        seen += exact_test(then, 5, now, m)[0] <= 0.01
    assert 0.65 < seen / runs < 0.95


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="then has 2 items and now has 1"):
        compare([1, 1], 1, [1], 1)
    with pytest.raises(ValueError, match="at least one item"):
        compare([], 1, [], 1)
    with pytest.raises(ValueError, match="between 0 and 5"):
        compare([6], 5, [1], 1)
