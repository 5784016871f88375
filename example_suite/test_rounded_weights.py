"""Whether weights of 8 bits are as good as the full ones: two arms of one session, without a baseline."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import network_of, rounded
from inference import answer_all

import pytest_modal

MARGIN = 0.01  # what 8 bits may cost


@pytest.fixture(scope="session")
def rounded_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """The same weights in 8 bits."""
    return {**weights, "tensors": {name: rounded(tensor, 8) for name, tensor in weights["tensors"].items()}}


@pytest_modal.fixture(scope="container", gpu="T4", timeout=600)
def rounded_model(rounded_weights: dict[str, Any]) -> Any:
    """The model with rounded weights, in the container of the other one."""
    return network_of(rounded_weights)


@pytest_modal.fixture
def rounded_answers(rounded_model: Any, problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the rounded weights answer."""
    return answer_all(rounded_model, problems)


def graded(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers of the lengths that training has shown, with a verdict each."""
    return [{**row, "is_correct": row["output"] == row["correct"]} for row in answers if row["digits"] <= 3]


def test_eight_bits_are_as_good_by_operation(
    answers: list[dict[str, Any]], rounded_answers: list[dict[str, Any]], accuracy_gate: Any
) -> None:
    accuracy_gate(
        "eight-bits",
        graded(rounded_answers),
        correct="is_correct",
        by="operation",
        reference=graded(answers),
        margin=MARGIN,
    )
