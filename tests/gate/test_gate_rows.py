"""What a test gives to its gate: rows, and what is said of bad ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modal.gate.judge.evaluation import Evaluation, pool
from pytest_modal.gate.judge.rows import Columns, input_digest, read_rows

TEST = "test_gsm8k.py::test_accuracy"
ROWS = [
    {"id": "b", "input": "2 + 2", "output": "4", "correct": True},
    {"id": "a", "input": "1 + 1", "output": "3", "correct": False},
]


def read(rows: Any, **columns: Any) -> Evaluation:
    return read_rows(rows, Columns(**columns), "accuracy_gate 'gsm8k'", TEST)


def refused(rows: Any, **columns: Any) -> str:
    """Return the message about bad rows, which has three parts."""
    with pytest.raises(ValueError, match="accuracy_gate 'gsm8k'") as caught:
        read(rows, **columns)
    message = str(caught.value)
    assert re.search(rf"\n  where: {re.escape(TEST)}\n  what to do: .", message)
    return message.split("\n")[0]


def test_rows_are_sorted_by_id() -> None:
    evaluation = read(ROWS)
    assert evaluation.ids == ("a", "b")
    assert evaluation.sums.tolist() == [0, 1]
    assert evaluation.inputs == ("1 + 1", "2 + 2")
    assert evaluation.outputs == ("3", "4")
    assert (evaluation.n, evaluation.rounds, evaluation.accuracy) == (2, 1, 0.5)


def test_a_table_is_as_good_as_a_list() -> None:
    table = pd.DataFrame(ROWS).assign(n=[7, 8], score=np.array([0.25, 1], "float32"))
    one = read(table, id="n", correct="score", input="n")
    two = read([{"n": 7, "score": 0.25}, {"n": 8, "score": 1}], id="n", correct="score", input="n")
    assert (one.ids, one.digests, one.sums.tolist()) == (two.ids, two.digests, two.sums.tolist())
    assert one.dataset == two.dataset
    assert read(pd.DataFrame(ROWS)).dataset == read(ROWS[::-1]).dataset


@pytest.mark.parametrize("value", [True, 1, 1.0, np.bool_(True), np.int8(1), np.float32(1)])
def test_right_may_be_written_in_many_ways(value: Any) -> None:
    assert read([{"id": 0, "correct": value}]).sums.tolist() == [1]


def test_there_must_be_rows() -> None:
    assert "there are no rows" in refused([])
    assert "there are no rows" in refused(pd.DataFrame(ROWS)[:0])
    assert "the rows are of type dict" in refused({"id": ["a"], "correct": [1]})
    assert "the rows are of type pandas" in refused(pd.DataFrame(ROWS).correct)
    assert "rows[1] is of type str, not dict" in refused([ROWS[0], "a"])


def test_the_columns_must_be_there() -> None:
    assert "no column 'correct', only 'id', 'ok'" in refused([{"id": "a", "ok": True}])
    assert "no column 'passage'" in refused(ROWS, cluster="passage")
    assert "no column 'prompt'" in refused(ROWS, input="prompt")
    assert read([{"id": "a", "correct": 1}]).inputs == (None,)  # the usual columns may be left out
    double = pd.DataFrame([[1, True, False]], columns=["id", "correct", "correct"])
    assert "'correct' more than once" in refused(double)


def test_ids_must_be_there_and_differ() -> None:
    nameless = [{"correct": 1}, ROWS[0], {"id": "", "correct": 1}]
    assert "2 rows without an id: rows[0], rows[2]" in refused(nameless)
    assert "1 duplicate id: 'a'" in refused([*ROWS, ROWS[1]])
    assert "1 duplicate id: '1'" in refused([{"id": 1, "correct": 1}, {"id": "1", "correct": 1}])
    assert "rows[0] has the id 1.5, a float" in refused([{"id": 1.5, "correct": 1}])
    assert "rows[0] has the id True, a bool" in refused([{"id": True, "correct": 1}])


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float32("nan"), pd.NA])
def test_a_missing_verdict_is_not_a_wrong_answer(nothing: Any) -> None:
    assert "'correct' is missing for 1 item: 'c'" in refused([*ROWS, {"id": "c", "correct": nothing}])
    assert "'correct' is missing for 1 item: 'c'" in refused([*ROWS, {"id": "c"}])


def test_verdicts_are_in_range() -> None:
    rows = [{"id": name, "correct": value} for name, value in zip("abc", [0.5, 1.2, -1], strict=True)]
    assert "outside [0, 1] for 'b', 'c': 1.2" in refused(rows)
    assert "neither a bool nor a number for 'a': 'yes'" in refused([{"id": "a", "correct": "yes"}])
    assert "outside [0, 1]" in refused([{"id": "a", "correct": float("inf")}])
    many = refused([{"id": n, "correct": 2} for n in range(3_000)])
    assert "and 2,995 more" in many
    assert len(many) < 150


def test_clusters_are_complete_and_more_than_one() -> None:
    rows = [{**row, "passage": passage} for row, passage in zip(ROWS, ["p", "q"], strict=True)]
    assert read(rows, cluster="passage").clusters == ("q", "p")
    assert "'passage' is missing for 1 item: 'a'" in refused([rows[0], {**rows[1], "passage": None}], cluster="passage")
    assert "all items are in one cluster, 'p'" in refused([{**row, "passage": "p"} for row in ROWS], cluster="passage")


def test_inputs_are_data() -> None:
    assert "'input' of item 'a' can't be recorded: object is not data" in refused(
        [{"id": "a", "correct": 1, "input": object()}]
    )
    image = np.arange(6).reshape(2, 3)
    assert input_digest({"image": image, "n": np.int64(2)}) == input_digest({"n": 2, "image": image.tolist()})
    assert input_digest("1") != input_digest(1)
    assert read([{"id": "a", "correct": 1, "input": float("nan")}]).digests == ("",)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_equal_inputs_have_equal_digests(value: Any) -> None:
    assert input_digest(value) == input_digest(value)
    assert re.fullmatch("[0-9a-f]{6}", input_digest(value))
    assert input_digest([value]) != input_digest([value, 0])


def test_rounds_are_added_up() -> None:
    other = [{**ROWS[0], "correct": False, "output": "5"}, ROWS[1]]
    pooled = pool([read(ROWS), read(other), read(other)], "accuracy_gate 'gsm8k'", TEST)
    assert pooled.rounds == 3
    assert pooled.sums.tolist() == [0, 1]
    assert pooled.outputs == ("3", "5")  # what it says most often
    assert pooled.accuracy == pytest.approx(1 / 6)


def test_rounds_are_of_the_same_items() -> None:
    for other in (ROWS[:1], [ROWS[0], {**ROWS[1], "input": "9 + 9"}]):
        with pytest.raises(ValueError, match="round 2 has other items, inputs or clusters than the first: 'a'"):
            pool([read(ROWS), read(other)], "accuracy_gate 'gsm8k'", TEST)
