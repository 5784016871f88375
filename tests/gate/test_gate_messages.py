"""What the user sees of a gate."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_data import TEST, evaluation, judged, recorded, results_of

from pytest_modal.gate.judge import messages
from pytest_modal.gate.judge.baseline import Baseline
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.findings import changed
from pytest_modal.gate.judge.flips import flip_rows, flips, flips_between
from pytest_modal.gate.judge.policy import Demands, Origin, Policy
from pytest_modal.gate.judge.rows import input_digest
from pytest_modal.gate.judge.verdict import judge_arms
from pytest_modal.report.parts import totals_of

# 200 items of five rounds; 140 never failed, 6 failed once, 4 were right once.
THEN = recorded(evaluation([5] * 140 + [4] * 6 + [1] * 4 + [0] * 50, 5, outputs=["42"] * 150 + ["?"] * 50))
CSV = "modal_output/test_gsm8k/test_accuracy/gsm8k.flips.csv"
CONFIRMED = evaluation([0] * 9 + [5] * 131 + [4] * 6 + [1] * 4 + [0] * 50, 5)


def failure(now: Evaluation, baseline: Baseline | None = THEN, *, csv: str | None = CSV, **chosen: Any) -> str:
    result = judged(now, baseline, **chosen)
    assert result.failed
    items = flips(now, baseline) if baseline is not None else []
    return messages.failure(result, items, test=TEST, csv=csv, mode="--modal-mode=replay")


def example() -> tuple[Baseline, Evaluation]:
    """Return the example of the documentation: a baseline of five rounds, and one round now with four fresh ones.

    Nine items fail that never failed before. 33 others are right in some rounds, now as then, so that p is not tiny.
    """
    then = [5] * 126 + [4] + [3] * 30 + [2] * 2 + [0] * 41
    now = [0] * 7 + [1] * 2 + then[9:]
    ids = tuple(f"gsm8k/{number:04}" for number in (*range(135, 144), *range(135), *range(144, 200)))
    results = results_of(now, 5)
    results[148:] = results[148:, ::-1]  # which fail in the first round, so that it is no better than the fresh ones
    results[7:9] = results[7:9, ::-1]
    order = np.array(sorted(range(200), key=ids.__getitem__))
    inputs = ("A train leaves ...",) * 200
    fields = {"ids": tuple(sorted(ids)), "inputs": inputs, "digests": tuple(map(input_digest, inputs))}
    before = recorded(evaluation(np.array(then)[order].tolist(), 5, outputs=["42"] * 200, **fields))
    return before, evaluation([0] * 200, 5, results=results[order], outputs=["forty"] * 200, **fields)


def test_the_example_of_the_documentation() -> None:
    before, now = example()
    result = judged(now, before, confirm=4)
    assert messages.failure(result, flips(now, before), test=TEST, csv=CSV, mode="--modal", shown=1) == (
        """\
ACCURACY REGRESSION  gsm8k  72.8% -> 68.5%, -4.3 points [-6.9, -1.7]
  9 of 200 items got worse, 0 better; re-running the unchanged model would do that once in 30,000 times (p=3.3e-05)
  confirmed by 4 fresh rounds: 68.3%
  id          then   now    input                 was -> is
  gsm8k/0135  5/5    0/5    "A train leaves ..."  "42" -> "forty"
  ... 8 more: modal_output/test_gsm8k/test_accuracy/gsm8k.flips.csv
  if this is intended: pytest "test_gsm8k.py::test_accuracy" --modal --modal-update-baselines """
        '--modal-accept-regression="why"'
    )


def test_the_other_example_of_the_documentation() -> None:
    steady = recorded(evaluation([5] * 1096 + [0] * 104, 5))
    result = judged(evaluation([0] * 15 + [1] * 1081 + [1] * 7 + [0] * 97), steady)
    assert "\n".join(changed(replace(result, gate="arithmetic"))) == (
        """\
CHANGED  arithmetic  91.3% -> 90.7%, -0.7 points [-1.3, +0.0]
  22 of 1,200 items changed, far more than re-runs do: 15 got worse, 7 better. Whether it is worse on the whole """
        "can't be said."
    )


@pytest.mark.parametrize(
    ("failing", "words"),
    [(5, "once in 8,000 times (p=0.00013)"), (20, "less than once in 1,000,000,000 times (p=2.7e-16)")],
)
def test_a_p_value_is_said_in_words(failing: int, words: str) -> None:
    assert words in failure(evaluation([0] * failing + [1] * (200 - failing)), recorded(evaluation([5] * 200, 5)))


def test_the_flips_are_a_table_for_csv() -> None:
    now = evaluation([0] + [1] * 149 + [0] * 45 + [1] * 5)
    rows = flip_rows(flips(now, THEN))
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
    assert message.startswith("ACCURACY REGRESSION  gsm8k  90.0% -> 50.0%, -40.0 points [")
    assert "\n  20 of 20 items got worse, 0 better; " in message
    assert "would do that once in 1,000,000 times (p=9.5e-07)\n" in message
    assert "  gsm8k/0000  0.9    0.5  " in message
    assert "  ... 15 more\n" in message


def test_a_score_is_shown_in_its_units_and_the_way_it_was_measured() -> None:
    baseline = recorded(evaluation([2.1] * 20, score=True), min_drop=0.1)
    result = judged(evaluation([2.5] * 20, score=True), baseline, min_drop=0.1, higher_is_better=False)
    message = messages.failure(result, flips(evaluation([2.5] * 20, score=True), baseline, result.demands), test=TEST)
    assert message.startswith("ACCURACY REGRESSION  gsm8k  2.1 -> 2.5, +0.4 [+0.")
    assert "20 of 20 items got worse, 0 better" in message
    assert messages.summary_line(result).startswith("gsm8k  FAIL  2.1 -> 2.5, +0.4 [+0.")


def test_a_slow_slide_names_the_anchor() -> None:
    first = recorded(evaluation([5] * 200, 5))
    second = recorded(evaluation([0] * 3 + [5] * 197, 5), first, date="2026-02-01")
    message = failure(evaluation([0] * 6 + [5] * 194, 5), second, updating=True)
    assert message.startswith(
        "ACCURACY REGRESSION  gsm8k  100.0% -> 97.0%, -3.0 points [-4.8, -1.2]\n  since the anchor of 2026-01-31; "
    )
    assert "\n  no single update fell as far: since the last one 98.5% -> 97.0%, -1.5 points [-3.3, +0.3]\n" in message
    steep = failure(evaluation([0] * 20 + [5] * 180, 5), second, updating=True)
    assert steep.startswith("ACCURACY REGRESSION  gsm8k  98.5% -> 90.0%, -8.5 points [")
    assert "\n  and against the anchor of 2026-01-31: 100.0% -> 90.0%, -10.0 points [" in steep


def test_categories_are_a_table() -> None:
    baseline = recorded(evaluation([5] * 200, 5))
    subjects = ("algebra",) * 100 + ("history",) * 100
    message = failure(evaluation([0] * 20 + [1] * 180, categories=subjects), baseline)
    header, algebra, history = message.splitlines()[2:5]
    assert header.split() == ["category", "items", "change", "worse", "better", "p", "(Holm)"]
    assert algebra.startswith("  algebra   100    100.0% -> 80.0%, -20.0 points [")
    assert algebra.endswith("FAIL")
    assert history.endswith("PASS")


def test_a_category_that_fell_heads_the_message_where_the_whole_did_not() -> None:
    baseline = recorded(evaluation([5] * 160 + [0] * 40, 5))
    subjects = ("algebra",) * 100 + ("history",) * 100
    now = evaluation([0] * 12 + [5] * 148 + [5] * 30 + [0] * 10, 5, categories=subjects)
    result = judged(now, baseline, confirm=4)
    assert (result.whole, result.reasons) == (Verdict.IMPROVED, ("category",))
    assert failure(now, baseline, confirm=4).splitlines()[:4] == [
        "ACCURACY REGRESSION  gsm8k, algebra  100.0% -> 88.0%, -12.0 points [-18.8, -5.2]",
        "  12 of 100 items got worse, 0 better (p=3e-29 by Holm)",
        "  all items together: 80.0% -> 89.0%, +9.0 points [+3.7, +14.3]",
        "  confirmed by 4 fresh rounds: 88.0%",
    ]
    assert ", worse in algebra; " in messages.summary_line(result)


def test_a_category_that_changed_is_not_said_to_be_the_whole() -> None:
    baseline = recorded(evaluation([5] * 60 + [0] * 40 + [5] * 60 + [0] * 40, 5))
    subjects = ("algebra",) * 100 + ("history",) * 100
    now = evaluation([0] * 30 + [1] * 30 + [1] * 18 + [0] * 22 + [1] * 90 + [0] * 10, 1, categories=subjects)
    result = judged(now, baseline)
    assert (result.verdict, result.whole) == (Verdict.CHANGED, Verdict.IMPROVED)
    headline, found = changed(result)
    assert headline == "CHANGED  gsm8k  60.0% -> 69.0%, +9.0 points [+1.8, +16.2]"
    assert found == (
        "  in algebra: 48 of 100 items changed, far more than re-runs do: 30 got worse, 18 better. "
        "Whether it is worse there can't be said."
    )


def test_changes_in_some_rounds_of_which_no_item_flips_for_good() -> None:
    before = recorded(evaluation([5] * 200, 5))
    some = evaluation([3] * 60 + [5] * 140, 5)
    message = failure(some, before, confirm=4)
    assert "\n  0 of 200 items got worse, 0 better in most rounds, but more did in some; re-running " in message


@pytest.mark.parametrize(
    ("demands", "said"),
    [
        ({"min_accuracy": 0.999}, "p=0.17, below min_accuracy 99.9%; "),
        ({"must_pass": ("gsm8k/0000",)}, "p=0.17, 1 item of must_pass failed; "),
    ],
)
def test_the_line_of_a_gate_says_which_demand_failed(demands: Any, said: str) -> None:
    line = messages.summary_line(judged(evaluation([0] + [1] * 199), recorded(evaluation([5] * 200, 5)), **demands))
    assert line.startswith("gsm8k  FAIL  100.0% -> 99.5%, -0.5 points [-1.9, +0.9], ")
    assert said in line


def test_what_is_not_as_good_as_the_reference_says_how_many_items_would_do() -> None:
    now, reference = evaluation([0] + [1] * 99), evaluation([1] * 100)
    common: dict[str, Any] = {"policy": Policy(), "test": TEST}
    result = judge_arms("gsm8k", now, reference, demands=Demands(margin=0.02), **common)
    message = messages.failure(result, flips_between(now, reference), test=TEST)
    assert message.startswith("NOT AS GOOD  gsm8k  100.0% -> 99.0%, -1.0 points [-3.8, +1.8]\n")
    assert (
        "\n  1 of 100 items got worse, 0 better than the reference; a drop of 2.0 points, the margin, is not" in message
    )
    assert re.search(r"what to do: about (7\d\d) items would rule it out if the change stays as it is", message)
    lost = judge_arms("gsm8k", evaluation([0] * 9 + [1] * 91), reference, demands=Demands(margin=0.02), **common)
    assert "more items won't help" in messages.failure(lost, [], test=TEST)


def test_the_other_failures_have_three_parts() -> None:
    one = evaluation([0] + [1] * 199, 1)
    steady = recorded(evaluation([5] * 200, 5))
    low = failure(one, steady, min_accuracy=0.999)
    assert low == (
        "ACCURACY TOO LOW  gsm8k  99.5% is below min_accuracy 99.9%   90% interval [97.8, 99.9]\n"
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
    inconclusive = failure(evaluation([0] * 2 + [1] * 28), small, strict=True)
    assert inconclusive.startswith("ACCURACY INCONCLUSIVE  gsm8k  100.0% -> 93.3%, -6.7 points [")
    assert "a drop of 3.0 points or more was seen, and chance may have done it (p=0.028): add items" in inconclusive
    assert failure(evaluation([0] * 3 + [1] * 197), steady, strict=True).startswith("CHANGED  gsm8k  100.0% -> 98.5%")


def test_one_line_a_gate() -> None:
    steady = recorded(evaluation([5] * 150 + [0] * 50, 5))
    line = messages.summary_line(judged(evaluation([1] * 149 + [0] * 51), steady))
    assert line == (
        "gsm8k  PASS  75.0% -> 74.5%, -0.5 points [-1.9, +0.9], p=0.17; "
        "n=200: sees a drop of 1.9 points if nothing else changes (80% power)"
    )
    better = messages.summary_line(judged(evaluation([1] * 155 + [0] * 45), steady))
    assert "IMPROVED  75.0% -> 77.5%" in better
    assert "p=0.00013; record it with --modal-update-baselines" in better
    assert messages.summary_line(judged(evaluation([1] * 150 + [0] * 50), None)).startswith(
        "gsm8k  NO BASELINE  75.0% [69.7%, 79.7%], compared with nothing; n=200"
    )
    grown = messages.summary_line(judged(evaluation([1] * 150 + [0] * 51), steady))
    assert grown.endswith("; 1 new item not gated")
    before, now = example()
    confirmed = messages.summary_line(judged(now, before, confirm=4))
    assert "p=3.3e-05, confirmed by 4 fresh rounds: 68.3%; n=200: sees" in confirmed
    scores = messages.summary_line(judged(evaluation([0.5] * 9), recorded(evaluation([0.5] * 9))))
    assert scores.endswith("; n=9")  # what scores would show is not known


def test_a_gate_that_compared_nothing_is_not_counted_as_gated() -> None:
    steady = recorded(evaluation([5] * 200, 5))
    compared, nothing = judged(evaluation([1] * 200), steady), judged(evaluation([1] * 200), None)
    flags = [result.change is not None for result in (compared, nothing, compared)]
    assert totals_of(flags) == "2 gated, 1 without baseline"
    assert totals_of(flags[:1]) == "1 gated"


def test_a_gate_that_sees_little_says_so_when_it_is_recorded() -> None:
    (powerless,) = messages.shortcomings(judged(evaluation([1] * 2), None).outlook, "gsm8k")
    assert powerless.startswith(
        "gate gsm8k can't fail: with 2 items its smallest p-value is 0.25, but it fails at 0.01"
    )
    (small,) = messages.shortcomings(judged(evaluation([5] * 50, 5), None).outlook, "gsm8k")
    assert small.startswith(
        "gate gsm8k is too small to see a drop of 3.0 points: with 50 items it sees drops of 7.7 points"
    )
    assert messages.shortcomings(judged(evaluation([5] * 200, 5), None).outlook, "gsm8k") == []


def test_what_is_worth_a_warning_and_what_a_remark() -> None:
    small = recorded(evaluation([5] * 30, 5), origin=Origin(gpu="T4"))
    now = evaluation([0] * 2 + [1] * 29)
    result = judged(now, small, origin=Origin(gpu="A100"))
    device, new = messages.warnings_of(result)
    assert device == "gate gsm8k: the baseline was made on another device: T4, now A100"
    assert "1 item not in the baseline" in new
    (inconclusive,) = messages.remarks_of(result, now)
    assert inconclusive == "a drop of 3.0 points or more was seen, and chance may have done it (p=0.028); add items"


def test_properties_for_junit() -> None:
    values = messages.properties(judged(evaluation([1] * 134 + [0] * 6 + [1] * 3 + [0] * 57), THEN))
    assert values == {
        "modal_gate.gsm8k.verdict": "FAIL",
        "modal_gate.gsm8k.n": "200",
        "modal_gate.gsm8k.rounds": "1",
        "modal_gate.gsm8k.accuracy": "0.685",
        "modal_gate.gsm8k.p": "3.31106e-05",
        "modal_gate.gsm8k.change": "-0.043",
        "modal_gate.gsm8k.interval": "-0.0685351 -0.0174649",
        "modal_gate.gsm8k.newly_failing": "9",
        "modal_gate.gsm8k.newly_passing": "0",
    }
    assert "modal_gate.gsm8k.p" not in messages.properties(judged(evaluation([1]), None))


def test_what_a_model_says_does_not_steer_the_terminal() -> None:
    nasty = evaluation([0] * 20, outputs=["\x1b[2Jgone\n\u202edne \ud800"] * 20)
    message = failure(nasty, recorded(evaluation([5] * 20, 5)))
    assert r'"\x1b[2Jgone\n\u202edne \ud800"' in message
