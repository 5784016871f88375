"""A smoke test of training: the loss falls, and a run that is resumed from its state goes on as if it had not stopped.

The state of model and optimizer leaves the GPU as data (dicts of arrays) and comes back as an argument of the next
call: a checkpoint without a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pytest_modal

STEPS = 40
TEXT = """
GPU functions run there, asserts run here. What crosses is data: numbers, strings, lists, dicts and arrays. A model is
loaded once, a batch is sent once, and a failed assertion is tried again without a GPU.
"""


def language_model() -> Any:
    """Build a small model of bytes, the same each time."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(128, 32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 128))


def as_tensors(state: Any) -> Any:
    """Turn the arrays of a state that has travelled into tensors."""
    import torch

    if isinstance(state, dict):
        return {name: as_tensors(value) for name, value in state.items()}
    return torch.as_tensor(state) if isinstance(state, np.ndarray | np.generic) else state


def train(text: str, steps: int, state: Any = None, with_optimizer: bool = True) -> dict[str, Any]:
    """Train for so many steps, from the beginning or from a state; return the losses and the new state."""
    import torch
    from torch.nn.functional import cross_entropy

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = language_model().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    if state is not None:
        model.load_state_dict(as_tensors(state["model"]))
    if state is not None and with_optimizer:
        optimizer.load_state_dict(as_tensors(state["optimizer"]))
    tokens = torch.tensor(list(text.encode()), device=device)
    losses = []
    for _ in range(steps):
        loss = cross_entropy(model(tokens[:-1]), tokens[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "state": {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}}


@pytest.fixture(scope="session")
def text() -> str:
    """What is learnt."""
    return TEXT * 4


@pytest_modal.fixture(gpu="T4", timeout=600)
def whole(text: str) -> dict[str, Any]:
    """A run without a break."""
    return train(text, STEPS)


@pytest_modal.fixture(gpu="T4", timeout=600)
def first_half(text: str) -> dict[str, Any]:
    """A run that stops half-way."""
    return train(text, STEPS // 2)


@pytest_modal.fixture(gpu="T4", timeout=600)
def second_half(text: str, first_half: dict[str, Any]) -> dict[str, Any]:
    """The rest of it, from the state that the first half returned."""
    return train(text, STEPS - STEPS // 2, first_half["state"])


@pytest_modal.fixture(gpu="T4", timeout=600)
def forgetful_half(text: str, first_half: dict[str, Any]) -> dict[str, Any]:
    """The mistake to be found: the weights are restored, and the moments of the optimizer are not."""
    return train(text, STEPS - STEPS // 2, first_half["state"], with_optimizer=False)


def test_loss_falls(whole: Any, save_csv: Any, save_figure: Any) -> None:
    from matplotlib.figure import Figure

    table = save_csv("losses.csv", {"step": range(STEPS), "loss": whole["losses"]})
    figure = Figure()
    figure.subplots().plot(table.step, table.loss)
    save_figure("losses.png", figure)
    assert np.log(128) - 0.5 < table.loss.iloc[0] < np.log(128) + 0.5, "an untrained model knows nothing"
    assert table.loss.iloc[-1] < table.loss.iloc[0] / 2


def assert_goes_on(whole: Any, resumed: Any) -> None:
    """Compare the losses and the final weights of a resumed run with those of one without a break."""
    np.testing.assert_allclose(resumed["losses"], whole["losses"][-len(resumed["losses"]) :], rtol=1e-4)
    for name, weights in whole["state"]["model"].items():
        np.testing.assert_allclose(resumed["state"]["model"][name], weights, rtol=1e-3, atol=1e-4, err_msg=name)


def test_resumed_run_goes_on_as_if_it_had_not_stopped(whole: Any, second_half: Any, save_csv: Any) -> None:
    save_csv("resumed.csv", {"loss": second_half["losses"]})
    assert_goes_on(whole, second_half)


def test_resume_without_the_optimizer_is_noticed(whole: Any, forgetful_half: Any) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_goes_on(whole, forgetful_half)
