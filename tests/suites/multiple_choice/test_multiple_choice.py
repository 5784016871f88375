"""A multiple-choice evaluation: the choice with the highest log-likelihood is the model's answer.

The GPU returns one number a choice. What follows from them (answers, accuracy, what a margin is worth) is computed
here, written as CSV and figure, and compared with the committed baseline.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pytest_modal

MODEL = Path(__file__).with_name("model")  # a character-level GPT-2 that has learnt to add
LETTERS = "ABCD"


@pytest.fixture(scope="session")
def questions() -> list[dict[str, Any]]:
    """Sums of two numbers of two digits, each with its answer among three that are easily confused with it."""
    rng = random.Random(0)
    rows = []
    for left, right in sorted({(rng.randrange(10, 100), rng.randrange(10, 100)) for _ in range(200)}):
        right_answer = left + right
        near = rng.sample([right_answer + step for step in (-11, -10, -9, -2, -1, 1, 2, 9, 10, 11)], 3)
        choices = rng.sample([right_answer, *near], 4)
        gold = LETTERS[choices.index(right_answer)]
        rows.append({"id": f"{left}+{right}", "prompt": f"{left}+{right}=", "choices": choices, "gold": gold})
    return rows


@pytest.fixture(scope="session")
def weights() -> dict[str, Any]:
    """The model as data."""
    from safetensors.numpy import load_file

    return {
        "config": json.loads((MODEL / "config.json").read_text(encoding="utf-8")),
        "vocabulary": json.loads((MODEL / "vocabulary.json").read_text(encoding="utf-8")),
        "tensors": load_file(MODEL / "model.safetensors"),
    }


@pytest_modal.fixture(scope="container", gpu="T4", timeout=600)
def model(weights: dict[str, Any]) -> Any:
    """The model on the GPU, and its vocabulary."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    network = GPT2LMHeadModel(GPT2Config(**weights["config"]))
    network.load_state_dict({name: torch.from_numpy(each) for name, each in weights["tensors"].items()}, strict=False)
    network.tie_weights()
    return network.to("cuda" if torch.cuda.is_available() else "cpu").eval(), weights["vocabulary"]


@pytest_modal.fixture(scope="session")
def likelihoods(model: Any, questions: list[dict[str, Any]]) -> Any:
    """The log-likelihood of each choice as the answer to its question: an array (questions, choices)."""
    import torch

    network, vocabulary = model
    texts = [(row["prompt"], f"{choice}\n") for row in questions for choice in row["choices"]]
    longest = max(len(prompt + answer) for prompt, answer in texts)
    # Padding comes last, so nothing that counts sees it.
    padded = [[vocabulary.index(each) for each in (prompt + answer).ljust(longest)] for prompt, answer in texts]
    counts = [[len(prompt) <= at < len(prompt + answer) for at in range(longest)] for prompt, answer in texts]
    tokens, is_answer = (torch.tensor(each, device=network.device) for each in (padded, counts))
    with torch.inference_mode():
        logits = network(tokens, attention_mask=torch.ones_like(tokens)).logits
    # What stands at a position predicts the next character.
    each = logits[:, :-1].float().log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return (each * is_answer[:, 1:]).sum(-1).reshape(len(questions), -1)


@pytest.fixture(scope="session")
def answers(likelihoods: Any, questions: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a question: the model's choice, and how much likelier it is than the second."""
    second, first = np.sort(likelihoods)[:, -2:].T
    return pd.DataFrame(questions).assign(
        answer=[LETTERS[index] for index in likelihoods.argmax(axis=1)],
        correct=lambda table: table.answer == table.gold,
        margin=first - second,
    )


def test_likelihoods_are_of_distributions(likelihoods: Any) -> None:
    assert (np.exp(likelihoods).sum(axis=1) <= 1).all(), "choices exclude each other"


def test_accuracy(answers: pd.DataFrame, save_csv: Any, accuracy_gate: Any) -> None:
    save_csv("answers.csv", answers)
    accuracy_gate("two-digit-sums", answers, correct="correct", input="prompt", output="answer")


def test_a_wider_margin_is_more_often_right(answers: pd.DataFrame, save_csv: Any, save_figure: Any) -> None:
    from matplotlib.figure import Figure

    quarters = answers.groupby(pd.qcut(answers.margin, 4, labels=False))
    table = save_csv("margins.csv", quarters.agg(margin=("margin", "median"), accuracy=("correct", "mean")))
    figure = Figure()
    axes = figure.subplots()
    axes.plot(table.margin, table.accuracy, marker="o")
    axes.set(xlabel="margin (nats)", ylabel="accuracy", ylim=(0, 1.05))
    save_figure("margins.png", figure)
    assert table.accuracy.iloc[-1] >= table.accuracy.iloc[0]


def test_chance_is_a_quarter(questions: list[dict[str, Any]]) -> None:
    golds = pd.Series([question["gold"] for question in questions]).value_counts(normalize=True)
    assert set(golds.index) == set(LETTERS)
    assert golds.max() < 0.4, "always answering with one letter must not look like knowledge"
