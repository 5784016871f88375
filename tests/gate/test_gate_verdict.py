"""What a gate says: the verdict, and what becomes of its baseline."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gate_data import TEST, evaluation, judged, recorded, updated

from pytest_modal.declare.options import check_reason
from pytest_modal.gate.judge import messages
from pytest_modal.gate.judge.baseline import Baseline, Round
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.gate.judge.intervals import wilson
from pytest_modal.gate.judge.policy import Origin, Policy, check_demands
from pytest_modal.gate.judge.sensitivity import sensitivity
from pytest_modal.gate.judge.update import plan_addition

STEADY = recorded(evaluation([5] * 150 + [0] * 50, 5))  # 200 items that never flip


def now(failing: int = 0, passing: int = 0, m: int = 1, **other: Any) -> Any:
    """Return `STEADY` again, with so many items newly failing and newly passing."""
    return evaluation([0] * failing + [m] * (150 - failing) + [m] * passing + [0] * (50 - passing), m, **other)


# PASS, FAIL, IMPROVED, INCONCLUSIVE.


def test_the_same_results_pass() -> None:
    result = judged(now(), STEADY)
    assert (result.verdict, result.failed, result.reasons) == (Verdict.PASS, False, ())
    assert result.accuracy == 0.75
    assert result.accuracy_interval == wilson(0.75, 200)
    assert result.change is not None
    assert (result.change.p, result.change.change) == (1, 0)
    assert result.anchor is None  # it is the baseline itself
    assert (result.newly_failing, result.newly_passing) == (0, 0)


@pytest.mark.parametrize("confirm", [0, 2])
def test_one_flipping_item_of_200_never_fails(confirm: int) -> None:
    noisy = recorded(evaluation([5] * 149 + [3] + [0] * 50, 5))
    sure = judged(now(failing=1, m=5), STEADY).change
    assert sure is not None
    assert sure.p < 0.01  # five of five rounds are sure of that one item
    for baseline in (STEADY, noisy, recorded(evaluation([1] * 150 + [0] * 50, 1))):
        for m in (1, 3, 5):
            for index in range(0, 200, 7):
                sums = [m] * 150 + [0] * 50
                sums[index] = m - sums[index]
                assert not judged(evaluation(sums, m), baseline, confirm=confirm, strict=True).failed


def test_five_deterministic_items_of_200_are_worse_and_three_a_change() -> None:
    result = judged(now(failing=5), STEADY)
    assert (result.verdict, result.failed, result.reasons) == (Verdict.FAIL, True, ("drop",))
    assert result.change is not None
    assert result.change.p == pytest.approx(1 / 6**5)
    assert result.change.interval[1] < 0
    assert result.newly_failing == 5
    # Three that fall and none that rises: the model has changed, but the next three may as well rise.
    changed = judged(now(failing=3), STEADY)
    assert (changed.verdict, changed.failed) == (Verdict.CHANGED, False)
    assert changed.change is not None
    assert changed.change.p == pytest.approx(1 / 216)
    assert changed.change.interval[0] < 0 < changed.change.interval[1]
    assert judged(now(failing=2), STEADY).verdict is Verdict.PASS
    strict = judged(now(failing=3), STEADY, strict=True)
    assert (strict.failed, strict.reasons) == (True, ("changed",))


def test_items_that_swap_sides_are_a_change_and_no_regression() -> None:
    result = judged(now(failing=22, passing=14), STEADY)
    assert (result.verdict, result.failed) == (Verdict.CHANGED, False)
    assert (result.newly_failing, result.newly_passing) == (22, 14)


def test_many_gates_are_each_stricter() -> None:
    assert judged(now(failing=5), STEADY).verdict is Verdict.FAIL
    ten = judged(now(failing=5), STEADY, gates=10)
    assert ten.change is not None
    assert (ten.verdict, ten.change.error) == (Verdict.CHANGED, 0.009)  # a wider interval: 98%
    assert judged(now(failing=5), STEADY, gates=100).verdict is Verdict.PASS  # 1/7776 > .01/100
    assert judged(now(failing=10), STEADY, gates=10).failed


def test_a_drop_below_min_drop_never_fails() -> None:
    assert judged(now(failing=5), STEADY, min_drop=0.025).failed
    assert not judged(now(failing=5), STEADY, min_drop=0.026).failed


def test_a_gain_is_an_improvement_and_no_failure() -> None:
    result = judged(now(passing=5), STEADY)
    assert (result.verdict, result.failed, result.newly_passing) == (Verdict.IMPROVED, False, 5)
    assert judged(now(passing=3), STEADY).verdict is Verdict.PASS
    small = judged(now(passing=5), STEADY, min_drop=0.03)
    assert small.verdict is Verdict.PASS
    assert messages.summary_line(small).startswith(
        "gsm8k  PASS  75.0% -> 77.5%, +2.5 points [+0.4, +4.6], p=1, less than min_drop=0.03; "
    )


def test_one_item_never_makes_a_verdict_either_way() -> None:
    for sums in ([0] + [5] * 29, [5] * 29 + [0]):
        small = recorded(evaluation([5] * 29 + [0], 5))
        result = judged(evaluation([each // 5 for each in sums]), small, strict=True)
        assert (result.verdict, result.failed) == (Verdict.PASS, False)


def test_a_large_drop_that_cannot_be_decided_is_inconclusive() -> None:
    small = recorded(evaluation([5] * 30, 5))
    changed = evaluation([0] * 2 + [1] * 28)
    assert judged(evaluation([1] * 30), small).verdict is Verdict.PASS  # nothing changed at all
    result = judged(changed, small)
    assert (result.verdict, result.failed) == (Verdict.INCONCLUSIVE, False)
    strict = judged(changed, small, strict=True)
    assert (strict.failed, strict.reasons) == (True, ("inconclusive",))
    noisy = recorded(evaluation([5] * 20 + [2] * 10, 5))
    assert judged(evaluation([1] * 20 + [0] * 8 + [1] * 2), noisy).verdict is Verdict.PASS  # chance does that


# Fresh rounds.


def test_a_suspicious_gate_wants_fresh_rounds_once() -> None:
    suspicious = now(failing=2)  # p = 1/36
    assert judged(suspicious, STEADY, confirm=2).wants_confirmation
    assert not judged(suspicious, STEADY).wants_confirmation
    assert not judged(now(failing=1), STEADY, confirm=2).wants_confirmation  # p = 1/6
    assert not judged(now(failing=2, m=3), STEADY, confirm=2).wants_confirmation
    assert not judged(suspicious, STEADY, confirm=2, updating=True).wants_confirmation


def test_fresh_rounds_settle_it() -> None:
    confirmed = judged(now(failing=5, m=5), STEADY, confirm=4)
    assert (confirmed.verdict, confirmed.replicated, confirmed.fresh_accuracy) == (Verdict.FAIL, True, 0.725)
    chance = evaluation([1, 2] + [3] * 148 + [0] * 50, 3)  # failed once or twice of three times
    assert not judged(chance, STEADY, confirm=2).failed


def test_a_drop_of_the_first_round_alone_is_not_confirmed() -> None:
    results = np.ones((200, 5))
    results[150:] = 0
    results[:40, 0] = 0  # one bad round
    result = judged(evaluation([0] * 200, 5, results=results), STEADY, confirm=4)
    assert result.change is not None
    assert result.change.change < -0.03
    assert result.change.interval[1] == 0  # no drop can't be excluded
    assert (result.verdict, result.replicated, result.failed) == (Verdict.CHANGED, False, False)


# What else the test demands.


def test_min_accuracy_holds_with_and_without_a_baseline() -> None:
    for baseline in (None, STEADY):
        assert not judged(now(), baseline, min_accuracy=0.75).failed
        result = judged(now(), baseline, min_accuracy=0.76)
        assert (result.verdict, result.failed, result.reasons) == (Verdict.FAIL, True, ("min_accuracy",))


def test_an_accuracy_that_chance_may_have_lowered_waits_for_fresh_rounds() -> None:
    close = judged(now(), STEADY, min_accuracy=0.76, confirm=4)
    assert (close.failed, close.wants_confirmation) == (True, True)
    low = judged(now(), STEADY, min_accuracy=0.9, confirm=4)  # above the interval
    assert (low.failed, low.wants_confirmation) == (True, False)
    after = judged(now(m=5), STEADY, min_accuracy=0.76, confirm=4)
    assert (after.failed, after.wants_confirmation) == (True, False)


def test_items_that_must_pass() -> None:
    result = judged(now(failing=1), STEADY, must_pass=("gsm8k/0000", "gsm8k/0001"))
    assert (result.failed, result.reasons, result.must_pass) == (True, ("must_pass",), ("gsm8k/0000",))
    assert judged(now(failing=1), STEADY, must_pass=("gsm8k/0000",), confirm=4).wants_confirmation
    for right, failed in ((3, False), (2, True)):
        most = evaluation([right] + [5] * 149 + [0] * 50, 5)
        assert judged(most, STEADY, must_pass=("gsm8k/0000",)).failed is failed  # by the majority
    with pytest.raises(ValueError, match="must_pass names items that the rows don't have: 'gsm8k/9999'"):
        judged(now(), STEADY, must_pass=("gsm8k/9999",))


@pytest.mark.parametrize(
    ("demand", "hint"),
    [
        ({"min_accuracy": 75}, "such as 0.75"),
        ({"min_accuracy": True}, "such as 0.75"),
        ({"min_accuracy": float("nan")}, "such as 0.75"),
        ({"min_drop": -0.01}, "such as 0.005"),
        ({"must_pass": "a"}, r"such as \['a'\]"),
        ({"must_pass": 3}, "a list of ids"),
        ({"score": "nll"}, "set min_drop= to the smallest drop that matters, in units of the score"),
        ({"score": "nll", "min_drop": float("inf")}, "such as 0.005"),
        ({"score": "nll", "min_drop": 0.1, "min_accuracy": 0.5}, "remove it"),
        ({"score": "nll", "min_drop": 0.1, "must_pass": ["a"]}, "remove it"),
        ({"higher_is_better": False}, 'score="nll"'),
        ({"score": "nll", "min_drop": 0.1, "higher_is_better": "no"}, "True or False"),
        ({"margin": 0.01}, "reference=..., or use min_drop="),
        ({"margin": 0, "reference": True}, "the largest drop that is tolerable"),
        ({"margin": 2, "reference": True}, "the largest drop that is tolerable"),
    ],
)
def test_demands_that_make_no_sense(demand: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValueError, match=rf"accuracy_gate 'gsm8k'(.|\n)*where: test_gsm8k(.|\n)*{hint}"):
        check_demands("gsm8k", TEST, **demand)


def test_demands_are_read() -> None:
    demands = check_demands("gsm8k", TEST, min_accuracy=np.float32(0.5), must_pass=["b", 1], min_drop=0)
    assert (demands.min_accuracy, demands.must_pass, demands.min_drop) == (0.5, ("1", "b"), 0)


# Scores and clusters.


def test_scores_are_judged_by_their_size() -> None:
    rng = np.random.default_rng(0)
    then = rng.uniform(0.3, 0.9, 100)
    baseline = recorded(evaluation(list(5 * then), 5))
    same = judged(evaluation(list(then)), baseline)
    assert (same.verdict, same.flip_rate) == (Verdict.PASS, None)
    lower = judged(evaluation(list(then - rng.uniform(0, 0.02, 100))), baseline)
    assert (lower.verdict, lower.newly_failing, lower.newly_passing) == (Verdict.FAIL, 100, 0)
    assert lower.change is not None
    assert lower.change.method == "paired permutation test"
    assert lower.outlook.detectable is None


def test_clusters_make_a_gate_careful() -> None:
    passages = tuple(f"p{index // 10:02}" for index in range(200))
    assert judged(now(failing=10), STEADY).failed
    result = judged(now(failing=10, clusters=passages), STEADY)  # all in one passage
    assert not result.failed
    assert result.change is not None
    assert result.change.p == 0.5


# Without a baseline, with another.


def test_a_missing_baseline_fails_where_ci_is_set() -> None:
    here, ci = judged(now(), None), judged(now(), None, ci=True)
    assert (here.verdict, here.failed, here.change) == (Verdict.NO_BASELINE, False, None)
    assert (ci.verdict, ci.failed, ci.reasons) == (Verdict.NO_BASELINE, True, ("no baseline",))
    assert not judged(now(), None, ci=True, updating=True).failed


def test_another_device_and_another_model_are_worth_a_warning() -> None:
    baseline = recorded(evaluation([5] * 200, 5), origin=Origin("NVIDIA T4", "gpt2@1"))
    result = judged(evaluation([1] * 200), baseline, origin=Origin("NVIDIA A100", "gpt2@2"))
    assert result.verdict is Verdict.PASS
    assert result.warnings == (
        "the baseline was made on another device: NVIDIA T4, now NVIDIA A100",
        "the baseline was made on another model revision: gpt2@1, now gpt2@2",
    )
    assert judged(evaluation([1] * 200), baseline).warnings == ()


def test_new_items_are_reported_and_not_gated() -> None:
    grown = evaluation([1] * 150 + [0] * 50 + [0] * 100)
    result = judged(grown, STEADY)
    assert (result.verdict, len(result.new), result.accuracy) == (Verdict.PASS, 100, 0.5)
    with pytest.raises(BaselineError, match="the rows lack 100 items of the baseline"):
        judged(evaluation([1] * 100), STEADY)


def test_what_a_gate_can_see() -> None:
    seen = judged(now(), STEADY).outlook
    assert (seen.n, seen.powerless, seen.too_small) == (200, False, False)
    assert seen.detectable == pytest.approx(0.019, abs=0.001)  # nearly four items, where three are none
    assert judged(now(), STEADY, confirm=4).outlook.detectable == pytest.approx(0.019, abs=0.001)
    noisy = recorded(evaluation([5] * 130 + [4] * 20 + [1] * 10 + [0] * 40, 5))
    few, many = (judged(now(), noisy, confirm=confirm).outlook.detectable for confirm in (0, 4))
    assert few is not None
    assert many is not None
    assert seen.detectable < many < few
    assert judged(now(), recorded(evaluation([1] * 150 + [0] * 50))).outlook.detectable is None  # its noise is unknown
    tiny = judged(evaluation([1] * 2), recorded(evaluation([5] * 2, 5))).outlook
    assert (tiny.detectable, tiny.powerless, tiny.too_small) == (None, True, False)
    assert tiny.smallest_p == pytest.approx(1 / 36)
    assert sensitivity(np.array([5.0] * 2), 5, Policy(confirm=2)).powerless is False  # (3/8 x 2/7 x 1/6)^2 after three
    assert sensitivity(np.array([5.0] * 1), 5, Policy(confirm=2)).powerless  # never suspicious: 1/6 > .12
    assert sensitivity(np.array([0.5] * 5), 1, Policy()).powerless  # five scores: 1/32
    small = judged(evaluation([1] * 50), recorded(evaluation([5] * 50, 5))).outlook
    assert small.too_small


def test_a_result_is_recorded_as_plain_json() -> None:
    result = judged(evaluation([0] + [1] * 199), recorded(evaluation([0, *[5] * 199], 5, outputs=["x"] * 200)))
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert (record["verdict"], record["change"]["change"], record["anchor"]) == ("PASS", 0.0, None)
    assert record["outlook"]["n"] == record["change"]["n"] == 200
    alone = judged(evaluation([0.5], score=True), recorded(evaluation([0.9], score=True)), min_drop=0.1)
    assert json.loads(json.dumps(alone.record(), allow_nan=False))["accuracy_interval"] == [None, None]


# The anchor.


def slide(releases: int, n: int, seed: int, *, k: int = 5) -> int | None:
    """Release so often, half a point worse each time and recorded each time; return the one that is refused."""
    rng = np.random.default_rng(seed)
    able = rng.permutation(n) < 0.75 * n

    def rounds(m: int) -> Any:
        return evaluation(list(sum((able ^ (rng.random(n) < 0.02)).astype(int) for _ in range(m))), m)

    baseline: Baseline = recorded(rounds(k))
    for release in range(1, releases + 1):
        able = able.copy()
        able[np.flatnonzero(able)[: n // 200]] = False
        update = updated(rounds(k), baseline)
        if update.refused:
            return release
        assert update.baseline is not None
        baseline = update.baseline
    return None


@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_twelve_releases_of_half_a_point_are_caught_by_the_anchor(n: int, seed: int) -> None:
    assert slide(12, n, seed) is not None


def test_the_anchor_stays_while_the_baseline_slides_and_is_compared_with_at_updates_only() -> None:
    first = recorded(evaluation([5] * 200, 5))
    second = recorded(evaluation([0] * 3 + [5] * 197, 5), first, date="2026-02-01")
    assert (second.anchor, second.accuracy) == (first.anchor, 0.985)
    third = [0] * 6 + [5] * 194
    assert judged(evaluation([each // 5 for each in third]), second).anchor is None
    result = judged(evaluation(third, 5), second, updating=True)
    assert result.anchor is not None
    assert (result.failed, result.reasons, result.anchor_date) == (True, ("anchor",), "2026-01-31")
    assert updated(evaluation(third, 5), second).refused


def test_a_recording_that_beats_the_anchor_becomes_it() -> None:
    update = updated(now(passing=10, m=5), STEADY, date="2026-02-01")
    better = update.baseline
    assert better is not None
    assert update.note == "gsm8k: baseline updated, 75.0% -> 80.0%, 5 rounds from one session; it is the new anchor"
    assert (better.anchor.accuracy, better.anchor.date, better.accuracy) == (0.8, "2026-02-01", 0.8)
    assert better.history[-1].anchor == STEADY.anchor
    # So what was gained can't be lost in small steps.
    slid = recorded(now(passing=7, m=5), better)
    assert slid.anchor == better.anchor
    assert updated(now(passing=4, m=5), slid).refused


# Updates.


def test_the_first_update_records_baseline_and_anchor() -> None:
    update = updated(now(m=5), None, origin=Origin("NVIDIA T4", "gpt2@1", "ap-1", ("torch==2.5.0",)))
    baseline = update.baseline
    assert baseline is not None
    assert update.note == "gsm8k: baseline recorded, 5 rounds from one session"
    assert (baseline.k, baseline.anchor.k, baseline.anchor.accuracy) == (5, 5, 0.75)
    assert baseline.rounds[-1] == Round("2026-01-31", 0.75, "ap-1", "NVIDIA T4", "gpt2@1", ("torch==2.5.0",))
    assert [entry.date for entry in baseline.history] == ["2026-01-31"]


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    update = updated(now(m=5), STEADY, date="2026-03-01")
    assert (update.baseline, update.note, update.refused) == (None, "gsm8k: baseline unchanged", False)


def test_a_drop_is_recorded_with_a_reason_only() -> None:
    dropped = now(failing=20, m=5)
    refused = updated(dropped, STEADY)
    assert (refused.baseline, refused.refused) == (None, True)
    accepted = updated(dropped, STEADY, accept="4-bit weights", date="2026-02-01")
    baseline = accepted.baseline
    assert baseline is not None
    assert accepted.note == "gsm8k: regression accepted, 75.0% -> 65.0%, 5 rounds from one session: 4-bit weights"
    assert (baseline.anchor.accuracy, baseline.anchor.date) == (0.65, "2026-02-01")
    assert baseline.anchor_sums.tolist() == baseline.sums.tolist()
    assert baseline.history[0] == STEADY.history[0]
    assert (baseline.history[1].reason, baseline.history[1].anchor) == ("4-bit weights", STEADY.anchor)
    assert judged(now(failing=20), baseline).verdict is Verdict.PASS


def test_a_reason_without_a_drop_is_a_plain_update() -> None:
    update = updated(now(failing=1, m=5), STEADY, accept="4-bit weights")
    assert update.baseline is not None
    assert update.baseline.anchor == STEADY.anchor
    assert (update.baseline.accuracy, update.baseline.history[-1].reason) == (0.745, None)


def test_what_the_test_itself_demands_cannot_be_accepted_away() -> None:
    for demand in ({"min_accuracy": 0.75}, {"must_pass": ("gsm8k/0000",)}):
        assert updated(now(failing=20, m=5), STEADY, accept="4-bit weights", **demand).refused


def test_fewer_rounds_are_said() -> None:
    update = updated(now(failing=1), STEADY)
    assert update.baseline is not None
    assert (update.baseline.k, update.baseline.anchor.k) == (1, 5)
    assert update.note == "gsm8k: baseline updated, 75.0% -> 74.5%, 1 round (there were 5)"
    assert update.baseline.anchor_sums.tolist() == STEADY.sums.tolist()


def test_items_may_come_and_go_with_an_update() -> None:
    replaced = evaluation([5] * 100 + [0] * 50 + [5] * 50, 5, first=50)
    baseline = recorded(replaced, STEADY)
    assert baseline.history[-1].items == "removed 50, added 50 items"
    assert (len(baseline.ids), baseline.ids[-1]) == (200, "gsm8k/0249")
    assert baseline.anchor_sums.tolist() == baseline.sums.tolist()
    fewer = recorded(evaluation([1] * 100 + [0] * 50 + [1] * 50, 1, first=50), STEADY)
    assert np.isnan(fewer.anchor_sums[150:]).all()  # the anchor has five rounds: these have one
    assert fewer.anchor_sums[:150].tolist() == STEADY.sums[50:].tolist()


def test_a_drop_is_not_hidden_by_new_items() -> None:
    grown = evaluation([0] * 20 + [5] * 130 + [0] * 50 + [5] * 100, 5)
    assert grown.accuracy > STEADY.accuracy
    assert updated(grown, STEADY).refused


def test_replacing_all_items_needs_a_reason() -> None:
    others = evaluation([5] * 200, 5, first=1000)
    refused = updated(others, STEADY)
    assert (refused.baseline, refused.refused) == (None, True)
    accepted = updated(others, STEADY, accept="new test set")
    assert accepted.baseline is not None
    assert accepted.baseline.anchor.accuracy == 1
    assert accepted.baseline.history[-1].items == "removed 200, added 200 items"


ONE, OTHER = Origin(app="ap-1"), Origin(app="ap-2")


def added(now: Any, old: Baseline | None, most: int = 5, **chosen: Any) -> Any:
    result = judged(now, old, adding=True, **chosen)
    return plan_addition(result, now, old, origin=OTHER, date="2026-02-01", most=most)


def test_a_round_is_added_and_the_newest_are_kept() -> None:
    old = recorded(now(m=5), origin=ONE)
    update = added(now(failing=1), old)
    assert update.note == "gsm8k: round added, 5 rounds from 2 sessions"
    assert [each.app for each in update.baseline.rounds] == ["ap-1"] * 4 + ["ap-2"]
    assert update.baseline.sums.tolist() == [4] + [5] * 149 + [0] * 50
    assert (update.baseline.anchor, update.baseline.outputs) == (old.anchor, old.outputs)
    assert added(now(), old, most=7).baseline.k == 6
    fresh = added(now(m=5), old, confirm=4)  # fresh rounds would push out those of other sessions
    assert [each.app for each in fresh.baseline.rounds] == ["ap-1"] * 4 + ["ap-2"]


def test_the_first_round_that_is_added_is_a_baseline() -> None:
    update = added(now(), None)
    assert (update.note, update.baseline.k) == ("gsm8k: baseline recorded, 1 round", 1)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (now(failing=20), "round not added, because the gate failed"),
        (now(failing=3), "round not added, because the gate has changed; record all: --modal-update-baselines"),
        (
            evaluation([1] * 150 + [0] * 51),
            "round not added, because the rows have new items; record all: --modal-update-baselines",
        ),
    ],
)
def test_a_round_of_another_model_or_other_items_is_not_added(rows: Any, note: str) -> None:
    update = added(rows, STEADY)
    assert (update.baseline, update.note) == (None, f"gsm8k: {note}")


def test_reasons_say_something() -> None:
    assert check_reason(None, updating=False) is None
    assert check_reason(" 4-bit \n weights ", updating=True) == "4-bit weights"
    with pytest.raises(ValueError, match="has no reason"):
        check_reason(" . ", updating=True)
    with pytest.raises(ValueError, match="add --modal-update-baselines"):
        check_reason("4-bit weights", updating=False)
