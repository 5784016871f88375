"""What the user sees of a gate."""

from __future__ import annotations

from typing import Any

from gate_data import TEST, evaluation, judged, recorded

from pytest_modal.gate.judge import messages
from pytest_modal.gate.judge.baseline import Baseline
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.gate.judge.rows import Evaluation

# 200 items of five rounds; 140 never failed, 6 failed once, 4 were right once.
THEN = recorded(evaluation([5] * 140 + [4] * 6 + [1] * 4 + [0] * 50, 5, outputs=["42"] * 150 + ["?"] * 50))
CSV = "modal_output/test_gsm8k/test_accuracy/gsm8k.flips.csv"
CONFIRMED = evaluation([0] * 6 + [3] * 134 + [3] * 3 + [0] * 57, 3)


def failure(now: Evaluation, baseline: Baseline | None = THEN, *, csv: str | None = CSV, **chosen: Any) -> str:
    result = judged(now, baseline, **chosen)
    assert result.failed
    items = messages.flips(now, baseline) if baseline is not None else []
    return messages.failure(result, items, test=TEST, csv=csv, mode="--modal-mode=replay")


def test_a_regression_in_full() -> None:
    assert failure(CONFIRMED, confirm=2) == (
        """\
ACCURACY REGRESSION  gsm8k  72.8% -> 68.5%   change -4.3 points, 95% interval [-7.3, -1.2]
  exact paired test against 5 baseline rounds: p=1.9e-11, confirmed by 2 fresh rounds
  9 newly failing, 0 newly passing (baseline flip rate 2.0%)
  id          then  now  input                       was -> is
  gsm8k/0000  5/5   0/3  "A train leaves gsm8k ..."  "42" -> "forty"
  gsm8k/0001  5/5   0/3  "A train leaves gsm8k ..."  "42" -> "forty"
  gsm8k/0002  5/5   0/3  "A train leaves gsm8k ..."  "42" -> "forty"
  gsm8k/0003  5/5   0/3  "A train leaves gsm8k ..."  "42" -> "forty"
  gsm8k/0004  5/5   0/3  "A train leaves gsm8k ..."  "42" -> "forty"
  ... 4 more: modal_output/test_gsm8k/test_accuracy/gsm8k.flips.csv
  where: test_gsm8k.py::test_accuracy
  what to do: find what changed the model; if the change is intended, accept it: """
        'pytest "test_gsm8k.py::test_accuracy" --modal-mode=replay --modal-update-baselines '
        '--modal-accept-regression="why"'
    )


def test_a_regression_of_one_round() -> None:
    message = failure(evaluation([1] * 134 + [0] * 6 + [1] * 3 + [0] * 57))
    assert "exact paired test against 5 baseline rounds: p=3.3e-05\n" in message
    assert messages.failure(judged(CONFIRMED, THEN), [], test=TEST).endswith(
        f'; if the change is intended, accept it: pytest "{TEST}" --modal-update-baselines '
        '--modal-accept-regression="why"'
    )


def test_the_flips_are_a_table_for_csv() -> None:
    now = evaluation([0] + [1] * 149 + [0] * 45 + [1] * 5)
    rows = messages.flip_rows(messages.flips(now, THEN))
    assert rows[0] == {
        "id": "gsm8k/0000",
        "then": "5/5",
        "now": "0/1",
        "change": -1.0,
        "input": "A train leaves gsm8k/0000",
        "was": "42",
        "is": "forty",
    }
    passing = [row["id"] for row in rows if row["change"] > 0]
    assert passing == [f"gsm8k/{number:04}" for number in (195, 196, 197, 198, 199, 146, 147, 148, 149)]
    assert len(rows) == 10


def test_scores_are_shown_as_means() -> None:
    baseline = recorded(evaluation([4.5] * 20, 5))
    message = failure(evaluation([0.5] * 20), baseline, csv=None)
    assert "paired permutation test against 5 baseline rounds: p=0.0001\n  20 lower, 0 higher\n" in message
    assert "  gsm8k/0000  0.9   0.5  " in message
    assert "  ... 15 more\n" in message


def test_a_slow_slide_names_the_anchor() -> None:
    first = recorded(evaluation([5] * 200, 5))
    second = recorded(evaluation([0] + [5] * 199, 5), first, date="2026-02-01")
    message = failure(evaluation([0] * 3 + [1] * 197), second)
    assert message.startswith("ACCURACY REGRESSION  gsm8k  100.0% -> 98.5%   change -1.5 points")
    assert (
        "\n  exact paired test against 5 anchor rounds: p=0.0046, recorded on 2026-01-31: no single update fell as far"
        "\n  since the last update 99.5% -> 98.5%: p=0.028\n"
    ) in message


def test_the_other_failures_have_three_parts() -> None:
    one = evaluation([0] + [1] * 199, 1)
    steady = recorded(evaluation([5] * 200, 5))
    low = failure(one, steady, min_accuracy=0.999)
    assert low == (
        "ACCURACY TOO LOW  gsm8k  99.5% is below min_accuracy 99.9%   95% interval [97.2, 99.9]\n"
        f"  where: {TEST}\n  what to do: find what broke the model, or lower min_accuracy in the test"
    )
    assert failure(one, steady, must_pass=("gsm8k/0000",)).startswith(
        "MUST PASS  gsm8k  1 item of must_pass failed: gsm8k/0000\n  where: "
    )
    assert failure(one, None, ci=True) == (
        "NO BASELINE  gsm8k  99.5% of 200 items, compared with nothing\n"
        f"  where: {TEST}, baselines\n"
        f'  what to do: record it and commit it: pytest "{TEST}" --modal-mode=replay --modal-update-baselines'
    )
    renamed = messages.missing_baseline(judged(one, None), test=TEST, path="baselines/new.jsonl", renamed_from="old")
    way_out = "if the gate was 'old' before, rename old.jsonl and old.outputs.jsonl with git mv; otherwise record"
    assert way_out in renamed
    assert "NOTHING COMPARED" in failure(evaluation([5] * 9, 5, first=500), steady, updating=True)
    both = failure(CONFIRMED, min_accuracy=0.9)
    assert both.index("ACCURACY REGRESSION") < both.index("ACCURACY TOO LOW")
    small = recorded(evaluation([5] * 30, 5))
    assert "a drop of 3.0 points can't be ruled out" in failure(evaluation([0] + [1] * 29), small, strict=True)


def test_one_line_a_gate() -> None:
    steady = recorded(evaluation([5] * 150 + [0] * 50, 5), origin=Origin(speed=10))
    line = messages.summary_line(judged(evaluation([1] * 149 + [0] * 51), steady, origin=Origin(speed=5)))
    assert line == (
        "gsm8k  PASS  75.0% -> 74.5%, -0.5 points [-2.2, +1.2], p=0.17; "
        "n=200: sees a drop of 1.5 points or more (80% power); 0.50 x the baseline's speed"
    )
    better = messages.summary_line(judged(evaluation([1] * 153 + [0] * 47), steady))
    assert "IMPROVED  75.0% -> 76.5%" in better
    assert "p=0.0046; record it with --modal-update-baselines" in better
    assert messages.summary_line(judged(evaluation([1] * 150 + [0] * 50), None)).startswith(
        "gsm8k  NO BASELINE  75.0% [68.6, 80.5], compared with nothing; n=200"
    )
    grown = messages.summary_line(judged(evaluation([1] * 150 + [0] * 51), steady))
    assert grown.endswith("; 1 new item not gated")


def test_a_gate_that_compared_nothing_is_not_counted_as_gated() -> None:
    steady = recorded(evaluation([5] * 200, 5))
    compared, nothing = judged(evaluation([1] * 200), steady), judged(evaluation([1] * 200), None)
    flags = [result.change is not None for result in (compared, nothing, compared)]
    assert messages.totals_of(flags) == "2 gated, 1 without baseline"
    assert messages.totals_of(flags[:1]) == "1 gated"


def test_a_gate_that_sees_little_says_so_when_it_is_recorded() -> None:
    powerless, small = messages.shortcomings(judged(evaluation([1] * 2), None).outlook, "gsm8k")
    assert powerless.startswith(
        "gate gsm8k can't fail: with 2 items its smallest p-value is 0.25, but it fails at 0.01"
    )
    assert small == (
        "gate gsm8k: with 2 items a single flip makes the gate inconclusive: a drop of 3.0 points can't be ruled out; "
        "add items"
    )
    assert messages.shortcomings(judged(evaluation([5] * 200, 5), None).outlook, "gsm8k") == []


def test_what_is_worth_a_warning() -> None:
    small = recorded(evaluation([5] * 30, 5), origin=Origin(gpu="T4", speed=10))
    result = judged(evaluation([0] + [1] * 30), small, origin=Origin(gpu="A100", speed=5))
    device, inconclusive, new, slower = messages.warnings_of(result)
    assert device == "gate gsm8k: the baseline was made on another device: T4, now A100"
    assert inconclusive.startswith(
        "gate gsm8k is inconclusive: a drop of 3.0 points can't be ruled out, the change is -3.3"
    )
    assert "1 item not in the baseline" in new
    assert slower == "gate gsm8k: 0.50 x the items per second of the baseline"


def test_properties_for_junit() -> None:
    values = messages.properties(judged(evaluation([1] * 134 + [0] * 6 + [1] * 3 + [0] * 57), THEN))
    assert values == {
        "modal_gate.gsm8k.verdict": "FAIL",
        "modal_gate.gsm8k.n": "200",
        "modal_gate.gsm8k.rounds": "1",
        "modal_gate.gsm8k.accuracy": "0.685",
        "modal_gate.gsm8k.p": "3.31106e-05",
        "modal_gate.gsm8k.change": "-0.043",
        "modal_gate.gsm8k.interval": "-0.0730012 -0.0121473",
        "modal_gate.gsm8k.newly_failing": "9",
        "modal_gate.gsm8k.newly_passing": "0",
    }
    assert "modal_gate.gsm8k.p" not in messages.properties(judged(evaluation([1]), None))


def test_what_a_model_says_does_not_steer_the_terminal() -> None:
    nasty = evaluation([0] * 20, outputs=["\x1b[2Jgone\n\u202edne \ud800"] * 20)
    message = failure(nasty, recorded(evaluation([5] * 20, 5)))
    assert r'"\x1b[2Jgone\n\u202edne \ud800"' in message
