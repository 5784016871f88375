"""Models that don't fit on the GPU together, one after the other."""

from __future__ import annotations

from typing import Any

import pytest_modal

SHARE = 0.6  # of the memory of the GPU


def large() -> Any:
    """Take most of the memory of the GPU."""
    import torch

    _, total = torch.cuda.mem_get_info()
    return torch.empty(int(SHARE * total), dtype=torch.uint8, device="cuda")


def share_of(model: Any) -> float:
    """Return how much of the memory of the GPU a model takes."""
    import torch

    _, total = torch.cuda.mem_get_info()
    return float(model.nbytes / total)


@pytest_modal.fixture(scope="container", timeout=120)
def first_model() -> Any:
    """A model that ends with its generator."""
    yield large()


@pytest_modal.fixture(scope="container", timeout=120)
def second_model() -> Any:
    """Another one, held by the generator too."""
    model = large()
    yield model


@pytest_modal.fixture(scope="container", timeout=120)
def third_model() -> Any:
    """One that is just returned."""
    return large()


@pytest_modal.fixture(timeout=120)
def first_share(first_model: Any) -> Any:
    """A call that uses the first model."""
    return share_of(first_model)


@pytest_modal.fixture(timeout=120)
def second_share(second_model: Any) -> Any:
    """A call that uses the second model."""
    return share_of(second_model)


@pytest_modal.fixture(timeout=120)
def third_share(third_model: Any) -> Any:
    """A call that uses the third model."""
    return share_of(third_model)


def test_models_of_one_process_follow_each_other(
    first_share: float, second_share: float, third_share: float, modal_session: Any
) -> None:
    assert min(first_share, second_share, third_share) > 0.5
    names = ("first_share", "second_share", "third_share")
    assert len({call.container for call in modal_session.calls if call.name in names}) == 1
