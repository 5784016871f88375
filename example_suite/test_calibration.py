"""Whether the model knows what it knows: calibration and perplexity, computed here from returned logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from figures import figure, legend_below, series, wilson
from inference import answer_logits

import pytest_modal

BINS = 10
LEAST_IN_BIN = 5  # fewer characters say nothing


@pytest_modal.fixture(scope="module")
def logits(model: Any, problems: list[dict[str, Any]]) -> dict[str, Any]:
    """The logits of every character of the true answers."""
    return answer_logits(model, problems)


@pytest.fixture(scope="module")
def characters(logits: dict[str, Any], problems: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a character of an answer: log-probability of the true one, confidence in the likeliest one."""
    scores, targets = logits["logits"].astype(np.float64), logits["targets"]
    row, position = np.nonzero(targets >= 0)
    chosen = scores[row, position]
    log_probabilities = chosen - np.logaddexp.reduce(chosen, axis=1, keepdims=True)
    truth = targets[row, position]
    return pd.DataFrame(
        {
            "id": [problems[index]["id"] for index in row],
            "input": [problems[index]["input"] for index in row],
            "operation": [problems[index]["operation"] for index in row],
            "digits": [problems[index]["digits"] for index in row],
            "position": position,
            "log_probability": log_probabilities[np.arange(len(row)), truth],
            "confidence": np.exp(log_probabilities.max(axis=1)),
            "is_correct": log_probabilities.argmax(axis=1) == truth,
        }
    )


def reliability(characters: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and mean confidence in equal-width bins of confidence."""
    bins = np.minimum((characters.confidence * BINS).astype(int), BINS - 1)
    table = characters.groupby(bins.rename("bin")).agg(
        n=("confidence", "size"), confidence=("confidence", "mean"), accuracy=("is_correct", "mean")
    )
    return table.reset_index()


def calibration_error(table: pd.DataFrame) -> float:
    """Return the expected calibration error (Naeini et al. 2015): the mean gap, weighted by bin size."""
    return float((table.n * (table.accuracy - table.confidence).abs()).sum() / table.n.sum())


def test_calibration(characters: pd.DataFrame, save_csv: Any, save_figure: Any) -> None:
    groups = {
        "1 to 3 digits": characters[characters.digits <= 3],
        "4 digits (not seen)": characters[characters.digits == 4],
    }
    tables = {name: reliability(rows) for name, rows in groups.items()}
    errors = {name: calibration_error(table) for name, table in tables.items()}
    save_csv("reliability.csv", pd.concat([table.assign(group=name) for name, table in tables.items()]))
    with figure() as (drawn, axis):
        axis.plot([0, 100], [0, 100], color="0.5", linestyle="--", marker="", label="perfect calibration")
        for shift, (name, table) in zip((-0.8, 0.8), tables.items(), strict=True):
            shown = table[table.n >= LEAST_IN_BIN]
            intervals = [wilson(round(n * share), n) for n, share in zip(shown.n, shown.accuracy, strict=True)]
            low, high = 100 * np.transpose(intervals)
            label = f"{name}, ECE {100 * errors[name]:.1f}%"
            series(axis, 100 * shown.confidence, 100 * shown.accuracy, low, high, label, shift)
        axis.set(
            xlabel="confidence in the likeliest character (%)",
            ylabel="correct characters (%)",
            title="Calibration of single characters",
            xlim=(-6, 106),
            ylim=(-6, 106),
        )
        legend_below(drawn, axis, "95% intervals (Wilson)")
        save_figure("reliability.png", drawn)
    seen, unseen = errors.values()
    assert seen < 0.1 < unseen


def test_perplexity(characters: pd.DataFrame, save_csv: Any, save_figure: Any, save_json: Any) -> None:
    groups = characters.groupby(["operation", "digits"]).log_probability
    table = groups.agg(characters="size", nll="mean", error="sem").reset_index()
    table["nll"] *= -1
    table["perplexity"] = np.exp(table.nll)
    table["low"], table["high"] = np.exp(table.nll - 1.96 * table.error), np.exp(table.nll + 1.96 * table.error)
    save_csv("perplexity.csv", table)
    save_json("perplexity.json", {"overall": np.exp(-characters.log_probability.mean()), "unit": "per character"})
    with figure(columns=2) as (drawn, axes):
        for axis, part in ((axes[0], table[table.digits <= 3]), (axes[1], table)):
            for shift, (operation, rows) in zip((-0.08, 0.08), part.groupby("operation"), strict=True):
                series(axis, rows.digits, rows.perplexity, rows.low, rows.high, operation, shift)
            axis.set_xticks(sorted(part.digits.unique()))
            axis.set(xlabel="digits of each operand", ylabel="perplexity per character")
        axes[0].set_title("Lengths seen in training")
        axes[1].set(title="All lengths, on a log scale", yscale="log")
        legend_below(drawn, axes[0], "95% intervals of the mean log-probability (normal)", columns=2)
        save_figure("perplexity.png", drawn)
    perplexity = table.set_index(["operation", "digits"]).perplexity
    for operation in ("addition", "subtraction"):
        assert 1 <= perplexity[operation, 2] < 1.6
        assert perplexity[operation, 4] > 2 * perplexity[operation, 2]


def test_probability_is_as_high_as_before(characters: pd.DataFrame, accuracy_gate: Any) -> None:
    """A gate on scores: the probability of the true answer, a character, as the geometric mean."""
    seen = characters[characters.digits <= 3]
    table = seen.groupby("id", as_index=False).agg(input=("input", "first"), probability=("log_probability", "mean"))
    table["probability"] = np.exp(table.probability).round(6)
    accuracy_gate("answer-probability", table, correct="probability")


def test_characters_are_as_good_as_before(characters: pd.DataFrame, accuracy_gate: Any) -> None:
    """A gate with clusters: the characters of one answer are right or wrong together."""
    chosen = characters[(characters.operation == "subtraction") & (characters.digits == 3)]
    items = chosen.assign(problem=chosen.id, id=chosen.id + "#" + chosen.position.astype(str))
    accuracy_gate("subtraction-characters", items, correct="is_correct", cluster="problem")
