"""The numbers of the gate: exact tests, intervals, and what a gate is able to see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from gate_data import evaluation, judged, recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_modal.gate.judge.comparison import Arms, Comparison, compare_arms
from pytest_modal.gate.judge.decision import Verdict, holm
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.exact import SMALLEST_P, exact_test, flip_rate, smallest_exact_p
from pytest_modal.gate.judge.intervals import (
    change_interval,
    cluster_interval,
    cluster_sums,
    mean_interval,
    wilson,
)
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.power import design_of, detectable_drop, failing_share
from pytest_modal.gate.judge.sign_flips import FEW, sign_flip_test
from pytest_modal.gate.judge.statistics import Change, compare

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
    # 90%: -.043 -+ 1.644854 * .0155243, with the standard error of Bonett and Price.
    assert change.interval == (pytest.approx(-0.068535, abs=5e-7), pytest.approx(-0.017465, abs=5e-7))
    assert change.standard_error == pytest.approx(0.0155243, abs=5e-7)
    assert flip_rate(THEN, 5) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("failing", "passing", "low", "high"), [(12, 3, -0.0840855, -0.0050235), (0, 0, -0.0137218, 0.0137218)]
)
def test_standard_error_of_bonett_and_price(failing: int, passing: int, low: float, high: float) -> None:
    """The ends of their 95% interval, around a centre drawn towards zero; ours is around the change."""
    differences = [-1] * failing + [1] * passing + [0] * (200 - failing - passing)
    estimate = change_interval(differences, unit=1, error=0.025)
    assert estimate.upper - estimate.lower == pytest.approx(high - low, abs=5e-8)
    assert (estimate.upper + estimate.lower) / 2 == pytest.approx((passing - failing) / 200)


def test_the_interval_of_scores_is_the_same_in_every_unit() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(-0.02, 0.1, 100)
    assert np.multiply(change_interval(d), 1000) == pytest.approx(change_interval(1000 * d))
    # Counts given as scores: the largest difference that was seen is a whole one.
    counts = [-1.0] * 5 + [1.0] * 2 + [0.0] * 93
    assert change_interval(counts) == change_interval(counts, unit=1)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(150, 200, 0.6856590, 0.8049183), (50, 50, 0.9286524, 1), (0, 50, 0, 0.0713476)],
)
def test_interval_of_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right / n, n, error=0.025) == (pytest.approx(low, abs=5e-8), pytest.approx(high, abs=5e-8))


def test_clusters_flip_as_wholes() -> None:
    assert sign_flip_test([0, -1, -5, 0, 0, 0, 0, 0])[0] == 0.25
    then, now = [1] * 16, [1, 1, 0, 1] + [0] * 5 + [1] * 7
    clusters = ["a", "a", "b", "b", *"ccccc", "d", "d", "e", "f", "g", "h", "h"]
    assert cluster_sums(np.subtract(now, then), clusters).tolist() == [0, -1, -5, 0, 0, 0, 0, 0]
    change = compare(then, 1, now, 1, clusters)
    assert change.p == 0.25
    assert change.method == "sign flips of 8 cluster sums"


def test_clustered_standard_error_is_nearly_the_plain_one_when_every_item_is_a_cluster() -> None:
    differences = np.repeat([-1.0, 1.0, 0.0], [12, 3, 185])
    estimate = cluster_interval(differences, np.arange(200), unit=1)
    assert estimate.standard_error == pytest.approx(change_interval(differences, unit=1).standard_error, rel=0.01)
    assert cluster_interval([0.1, 0.2], ["a", "a"]).upper == math.inf
    wide, narrow = (cluster_interval(differences, np.arange(200) % number, unit=1) for number in (4, 100))
    assert (wide.upper - wide.lower) / wide.standard_error > (narrow.upper - narrow.lower) / narrow.standard_error


def test_items_of_one_cluster_count_less_than_independent_ones() -> None:
    differences = np.repeat([-1.0, *[0.0] * 19], 10)
    alone = cluster_interval(differences, np.arange(200)).standard_error
    assert cluster_interval(differences, np.repeat(np.arange(20), 10)).standard_error > 2 * alone


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
    assert (change.p, change.p_gain, change.interval, len(change.differences)) == (1, 1, (0, 0), 0)
    low, high = compare([2.5] * 9, 1, [2.0] * 9, 1, score=True).interval
    assert low < -0.5 < high < 0
    assert mean_interval([2.0]) == (-math.inf, math.inf)
    assert mean_interval([1.0, 2.0, 3.0]) == (pytest.approx(0.3141456), pytest.approx(3.6858544))


def test_many_scores_are_as_few_ones() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(-0.002, 0.1, 3 * FEW)
    normal = stats.norm.cdf(differences.sum() / math.sqrt((differences**2).sum()))
    assert sign_flip_test(differences)[0] == pytest.approx(normal, abs=0.02)
    # Three lost items in a sea of rounding errors: one of eight ways to set three signs, for all of the sea.
    sea = rng.uniform(-1e-6, 1e-6, 10 * FEW)
    assert sign_flip_test([-1.0, -1.0, -1.0, *sea])[0] == pytest.approx(1 / 8, abs=0.07)
    low, high = compare(np.zeros(3 * FEW), 1, differences, 1, score=True).interval
    assert (low, high) == pytest.approx(stats.norm.interval(0.9, differences.mean(), stats.sem(differences)), rel=0.01)


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


def enumerated(differences: Any) -> tuple[float, float]:
    """Return the p-values of sign flips by their definition, in whole numbers."""
    sizes = [abs(each) for each in differences]
    sums = [
        sum(sign * size for sign, size in zip(signs, sizes, strict=True))
        for signs in product((-1, 1), repeat=len(sizes))
    ]
    observed = sum(differences)
    return sum(each <= observed for each in sums) / len(sums), sum(each >= observed for each in sums) / len(sums)


@settings(max_examples=100)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=14), st.sampled_from([1.0, 1 / 3, 1 / 15, 0.1]))
def test_sign_flips_are_those_of_the_definition_with_all_ties(differences: list[int], unit: float) -> None:
    down, up = enumerated(differences)
    assert sign_flip_test(np.array(differences) * unit) == (pytest.approx(down), pytest.approx(up))


def test_a_tie_is_one_whatever_the_last_digit() -> None:
    assert sign_flip_test([-1] * 4 + [1 / 3] * 4)[0] == pytest.approx(0.140625)
    mixed = [-3, 2, 2, -5, 4, -1, -1, 3, -2, -2, -4, 1, 1, -3, -3, 2]
    assert sign_flip_test(np.array(mixed) / 15)[0] == pytest.approx(enumerated(mixed)[0])


def test_holm_multiplies_the_smallest_by_most() -> None:
    values = [0.01, 0.04, 0.03, 0.5]
    assert [p * factor for p, factor in zip(values, holm(values), strict=True)] == pytest.approx(
        [0.04, 0.09, 0.09, 0.5]
    )
    assert holm([0.02]) == [1]


# The decision.

columns = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, 5), min_size=n, max_size=n) for _ in range(2)),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
    )
)
LENIENT = Demands(min_drop=0.0)


def arms_of(then: Any, now: Any, scale: float = 1.0, **other: Any) -> Arms:
    """Return two arms of five rounds each."""
    results = [scale * (np.arange(5) < np.array(sums)[:, None]) for sums in (then, now)]
    return Arms(results[0], results[1], **other)


def _by_category(found: Comparison) -> list[tuple[Change, Verdict]]:
    return [(each.change, each.verdict) for each in found.categories]


@settings(max_examples=300)
@given(columns, st.sampled_from(["counts", "scores", "clusters", "errors", "categories"]), st.sampled_from([1, 3, 10]))
def test_the_verdict_never_contradicts_the_interval(case: Any, kind: str, gates: int) -> None:
    then, now, groups = case
    worse = [each // 2 for each in now]  # so that there are verdicts to look at
    for after in (now, worse):
        clusters = np.array(groups).astype(str) if kind == "clusters" else None
        categories = np.array(groups).astype(str) if kind == "categories" else None
        scale = 1.37 if kind in ("scores", "errors") else 1
        arms = arms_of(then, after, scale, clusters=clusters, categories=categories, score=kind == "errors")
        demands = Demands(min_drop=0.0, higher_is_better=kind != "errors")
        if kind == "scores":
            arms = arms_of(then, after, 0.37)
        for confirmed in (False, True):
            found = compare_arms(arms, demands, Policy(gates=gates), confirmed=confirmed)
            for change, verdict in [(found.change, found.decision.verdict), *_by_category(found)]:
                low, high = change.interval
                assert low <= change.change <= high
                # There is no drop, and no gain, that is smaller than min_drop: no other verdict may look like these.
                assert (verdict is Verdict.FAIL) == (high < 0)
                assert (verdict is Verdict.IMPROVED) == (low > 0)


@given(columns, st.randoms(use_true_random=False))
def test_the_order_of_the_items_changes_nothing(case: Any, random: Any) -> None:
    then, now, groups = case
    places = list(range(len(then)))
    random.shuffle(places)
    one, two = (
        compare_arms(
            arms_of(
                np.array(then)[order],
                np.array(now)[order],
                categories=np.array(groups).astype(str)[order],
            ),
            LENIENT,
            Policy(),
            confirmed=True,
        )
        for order in (list(range(len(then))), places)
    )
    assert one.change.p == pytest.approx(two.change.p)
    assert one.change.interval == pytest.approx(two.change.interval)
    assert (one.decision.verdict, one.suspicious) == (two.decision.verdict, two.suspicious)
    assert [each.verdict for each in one.categories] == [each.verdict for each in two.categories]


@given(columns, st.randoms(use_true_random=False))
def test_the_names_of_the_items_change_nothing(case: Any, random: Any) -> None:
    then, now, groups = case
    names = [f"item/{number:02}" for number in range(len(then))]
    renamed = random.sample([f"{letter}/{number}" for letter in "ab" for number in range(40)], len(names))
    one, two = (
        judged(named(given, now, groups), recorded(named(given, then, groups)), confirm=4) for given in (names, renamed)
    )
    assert (one.verdict, one.newly_failing, one.newly_passing) == (two.verdict, two.newly_failing, two.newly_passing)
    assert one.change is not None
    assert two.change is not None
    assert one.change.p == pytest.approx(two.change.p)
    assert one.change.interval == pytest.approx(two.change.interval)
    by_name = {each.name: each.verdict for each in one.categories}
    assert {each.name: each.verdict for each in two.categories} == by_name


def named(names: Sequence[str], sums: Sequence[int], groups: Sequence[int]) -> Evaluation:
    """Return an evaluation of items with names, each of a group."""
    order = sorted(range(len(names)), key=names.__getitem__)
    categories = tuple(str(groups[index]) for index in order)
    ids = tuple(names[index] for index in order)
    return evaluation([sums[index] for index in order], 5, ids=ids, categories=categories)


@given(columns)
def test_a_category_alone_is_what_a_gate_of_its_own_is(case: Any) -> None:
    then, now, _ = case
    categories = np.full(len(then), "algebra")
    found = compare_arms(arms_of(then, now, categories=categories), LENIENT, Policy(), confirmed=True)
    alone = compare_arms(arms_of(then, now), LENIENT, Policy(), confirmed=True)
    (category,) = found.categories
    assert (category.change, category.p, category.verdict) == (alone.change, alone.change.p, alone.decision.verdict)


def test_every_category_is_compared_although_one_fails() -> None:
    categories = np.repeat(["algebra", "biology", "chemistry"], 100)
    now = np.array([5] * 80 + [0] * 20 + [5] * 100 + [0] * 12 + [5] * 88)
    found = compare_arms(arms_of([5] * 300, now, categories=categories), Demands(), Policy(), confirmed=True)
    assert [each.verdict for each in found.categories] == [Verdict.FAIL, Verdict.PASS, Verdict.FAIL]
    assert [each.worse for each in found.categories] == [20, 0, 12]


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


@pytest.mark.parametrize(("confirm", "lost"), [(0, 6), (4, 6), (4, 3)])
def test_power_is_that_of_the_decision_itself(confirm: int, lost: int) -> None:
    policy, rng, failed, runs = Policy(confirm=confirm), np.random.default_rng(lost), 0, 400
    design = design_of(200, 0.75 * 0.98 + 0.25 * 0.02, 2 * 0.02 * 0.98, 5, policy, 0.005)
    assert (design.right, design.wrong, design.flips) == (150, 50, 0.02)
    for _ in range(runs):
        able = np.arange(200) < 150
        left = able & (np.arange(200) >= lost)
        then = (able[:, None] ^ (rng.random((200, 5)) < 0.02)).astype(float)
        now = (left[:, None] ^ (rng.random((200, 1 + confirm)) < 0.02)).astype(float)
        found = compare_arms(Arms(then, now[:, :1]), Demands(), policy, confirmed=True)
        if confirm and found.suspicious:
            found = compare_arms(Arms(then, now), Demands(), policy, confirmed=True)
        failed += found.decision.verdict is Verdict.FAIL
    share = failing_share(design, lost, runs=4_000)
    assert abs(failed / runs - share) < 4 * math.sqrt(share * (1 - share) / runs) + 0.01


def test_what_a_gate_sees() -> None:
    steady = design_of(200, 0.75, 0.0, 5, Policy(), 0.005)
    assert [failing_share(steady, lost) for lost in (3, 4)] == [0, 1]
    assert detectable_drop(steady) == pytest.approx(0.019, abs=0.001)
    assert detectable_drop(design_of(3, 1.0, 0.0, 5, Policy(gates=1000), 0.005)) is None
    assert detectable_drop(design_of(100_000, 0.75, 0.0, 5, Policy(), 0.005)) == 0.005
    noisy = [
        detectable_drop(design_of(200, 0.74, flips, 5, Policy(confirm=4), 0.005)) or 1 for flips in (0.01, 0.02, 0.05)
    ]
    assert noisy == sorted(noisy)
    assert smallest_exact_p([5, 5], 5, 1) == pytest.approx(1 / 36)
    assert smallest_exact_p([0] * 100, 5, 1) == 1


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="then has 2 items and now has 1"):
        compare([1, 1], 1, [1], 1)
    with pytest.raises(ValueError, match="at least one item"):
        compare([], 1, [], 1)
    with pytest.raises(ValueError, match="between 0 and 5"):
        compare([6], 5, [1], 1)
