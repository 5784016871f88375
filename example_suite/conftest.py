"""What the test files share: problems, weights, and the model on the GPU."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from arithmetic import EVALUATED_DIGITS, OPERATIONS, draw
from inference import answer_all

import pytest_modal

MODEL = Path(__file__).parent / "model"
PER_STRATUM = {1: 50, 2: 150, 3: 400, 4: 150}  # three digits are looked at by carries too


@pytest.fixture(scope="session")
def problems() -> list[dict[str, Any]]:
    """Problems of 1 to 4 digits; from 2 digits on, none that training has seen."""
    rng = random.Random(2024)
    rows = []
    for operation in OPERATIONS:
        for digits in EVALUATED_DIGITS:
            drawn: dict[str, Any] = {}
            for _ in range(20_000):
                problem = draw(rng, operation, digits, digits)
                if digits == 1 or problem.is_held_out:
                    drawn[problem.prompt] = problem
                if len(drawn) == PER_STRATUM[digits]:
                    break
            rows += [
                {
                    "id": f"{operation}/{problem.left}-{problem.right}",
                    "input": prompt,
                    "correct": problem.answer,
                    "operation": operation,
                    "digits": digits,
                    "carries": problem.carries,
                }
                for prompt, problem in drawn.items()
            ]
    return rows


@pytest.fixture(scope="session")
def weights() -> dict[str, Any]:
    """The model as data: it travels into the container, so no file is read there."""
    from safetensors.numpy import load_file

    tensors = load_file(MODEL / "model.safetensors")
    if bits := os.environ.get("EXAMPLE_WEIGHT_BITS"):
        tensors = {name: rounded(tensor, int(bits)) for name, tensor in tensors.items()}
    return {
        "config": json.loads((MODEL / "config.json").read_text(encoding="utf-8")),
        "vocabulary": json.loads((MODEL / "vocabulary.json").read_text(encoding="utf-8")),
        "tensors": tensors,
    }


def rounded(tensor: Any, bits: int) -> Any:
    """Round a tensor to so many bits: equal steps on both sides of zero, the largest weight at the end."""
    import numpy as np

    step = np.abs(tensor).max() / (2 ** (bits - 1) - 1)
    return (np.round(tensor / step) * step).astype(tensor.dtype)


def network_of(weights: dict[str, Any]) -> Any:
    """Return a model and its vocabulary, on the GPU where there is one."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = GPT2LMHeadModel(GPT2Config(**weights["config"]))
    state = {name: torch.from_numpy(array) for name, array in weights["tensors"].items()}
    missing, unexpected = network.load_state_dict(state, strict=False)
    # The output layer shares the weights of the embedding, which are stored once.
    assert set(missing) <= {"lm_head.weight"}, missing
    assert not unexpected, unexpected
    network.tie_weights()
    return network.to(device).eval(), weights["vocabulary"]


@pytest_modal.fixture(scope="container", gpu="T4", timeout=600)
def model(weights: dict[str, Any]) -> Any:
    """The model and its vocabulary."""
    return network_of(weights)


@pytest_modal.fixture
def answers(model: Any, problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The full set."""
    return answer_all(model, problems)
