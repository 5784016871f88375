"""The evaluation of the hub's GPT-2 on arithmetic: pilot and full run in one session, from one model load."""

from __future__ import annotations

import os
import random
import socket
from typing import Any

import pandas as pd
import pytest
from figures import figure

import pytest_modal

HUB = ("huggingface.co", 443)


def hub_is_out_of_reach() -> bool:
    """Whether no connection to the hub can be made; asked once, at collection."""
    if os.environ.get("HF_HUB_OFFLINE"):
        return True
    try:
        socket.create_connection(HUB, timeout=2).close()
    except OSError:
        return True
    return False


pytestmark = pytest.mark.skipif(hub_is_out_of_reach(), reason=f"the model hub can't be reached: {HUB[0]}")


@pytest.fixture(scope="session")
def sums() -> list[dict[str, str]]:
    """Sums of numbers up to 20, as text."""
    rng = random.Random(0)
    pairs = [(rng.randrange(21), rng.randrange(21)) for _ in range(100)]
    return [{"id": str(i), "input": f"{a} + {b} =", "correct": str(a + b)} for i, (a, b) in enumerate(pairs)]


@pytest_modal.fixture(scope="container", gpu="T4", timeout=1800)
def gpt2() -> Any:
    """The hub's model; later runs find it in the cache."""
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return AutoTokenizer.from_pretrained("gpt2"), GPT2LMHeadModel.from_pretrained("gpt2").to(device).eval()


def complete(gpt2: Any, problems: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Let the model go on, and take the first word as its answer."""
    import time

    import torch

    tokenizer, network = gpt2
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    inputs = tokenizer([problem["input"] for problem in problems], return_tensors="pt", padding=True)
    started = time.perf_counter()
    with torch.inference_mode():
        outputs = network.generate(
            **inputs.to(network.device), max_new_tokens=4, do_sample=False, pad_token_id=tokenizer.eos_token_id
        )
    seconds = (time.perf_counter() - started) / len(problems)
    texts = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :])
    words = [(text.split() or [""])[0] for text in texts]
    return [{**problem, "output": word, "time": seconds} for problem, word in zip(problems, words, strict=True)]


@pytest_modal.fixture
def evaluation(gpt2: Any, sums: list[dict[str, str]]) -> dict[str, Any]:
    """Pilot and full run, from one model load."""
    return {
        "pilot": complete(gpt2, sums[:10]),
        "full": [row for start in range(0, len(sums), 10) for row in complete(gpt2, sums[start : start + 10])],
    }


def test_gpt2_arithmetic(evaluation: dict[str, Any], save_csv: Any, save_figure: Any) -> None:
    assert [row["output"] for row in evaluation["pilot"]] == [row["output"] for row in evaluation["full"][:10]]
    table = save_csv("results.csv", evaluation["full"])
    with figure() as (drawn, axis):
        axis.step(range(1, len(table) + 1), table.time, where="mid", marker="")
        axis.set(xlabel="number of the problem", ylabel="time per problem (s)", title="GPT-2, in batches of ten")
        axis.set_ylim(bottom=0)
        save_figure("timing.png", drawn)
    accuracy = pd.Series(table.output == table.correct).mean()
    assert 0 <= accuracy < 0.9, "GPT-2 is no calculator"
