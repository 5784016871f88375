"""Code of the project on a GPU: kernels, compiled layers, settings and constants, which travel as source."""

from __future__ import annotations

import importlib.util
import inspect
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import own_layers
import pytest
import torch
from own_layers import DEVICE, Block, scaled

import pytest_modal

torch.manual_seed(7)  # each call begins with it, on the GPU too
DTYPES = [torch.float16, torch.bfloat16]
# What triton builds the launchers of kernels with.
HAS_TOOLS = (
    any(map(shutil.which, ("gcc", "clang", "cc")))
    and Path(sysconfig.get_paths()["include"], "Python.h").is_file()
    and importlib.util.find_spec("triton") is not None
)
needs_tools = pytest.mark.skipif(not HAS_TOOLS, reason="needs triton, a C compiler and Python.h")


@pytest_modal.fixture(scope="container", timeout=120)
def block() -> Any:
    """A layer of another file."""
    return Block().to(DEVICE).eval()


@pytest_modal.fixture(timeout=120)
def layers(block: Any) -> Any:
    """What the layer says, and compiled, and where it is."""
    inputs = torch.ones(8, 64, device=DEVICE)
    with torch.no_grad():
        compiled = torch.compile(block, backend="eager", fullgraph=True)(inputs)
        return {"plain": block(inputs), "compiled": compiled, "device": str(inputs.device), "constant": DEVICE}


@pytest_modal.fixture(timeout=120)
def inductor() -> Any:
    """A function of another file, compiled by inductor."""
    inputs = torch.linspace(-2, 2, 256, device=DEVICE)
    return {"plain": scaled(inputs), "compiled": torch.compile(lambda x: scaled(x), fullgraph=True)(inputs)}


@pytest_modal.fixture(timeout=120)
def kernel() -> Any:
    """A kernel of another file, and its source."""
    inputs = torch.arange(300.0, device=DEVICE)
    return {"result": own_layers.incremented(inputs), "source": inspect.getsource(own_layers.add_one.fn)}


@pytest_modal.fixture(timeout=120)
def first_draw() -> Any:
    """Random numbers of the GPU."""
    return torch.rand(4, device=DEVICE)


@pytest_modal.fixture(timeout=120)
def second_draw() -> Any:
    """Random numbers of the GPU, of another call."""
    return torch.rand(4, device=DEVICE) + 0


def made(dtype: Any) -> Any:
    """Return what an argument does that is a dtype."""
    return str(torch.ones(2, dtype=dtype, device=DEVICE).dtype)


def test_layers_run_on_the_gpu(layers: Any) -> None:
    assert layers["constant"] == "cuda"
    assert layers["device"] == "cuda:0"
    np.testing.assert_allclose(layers["compiled"], layers["plain"], rtol=1e-5)


@needs_tools
def test_inductor_compiles_a_function_of_another_file(inductor: Any) -> None:
    np.testing.assert_allclose(inductor["compiled"], inductor["plain"], rtol=1e-4, atol=1e-6)


@needs_tools
def test_a_kernel_has_its_source_and_runs(kernel: Any) -> None:
    np.testing.assert_array_equal(kernel["result"], np.arange(300.0, dtype="f4") + 1)
    assert "def add_one" in kernel["source"]


def test_each_call_begins_with_the_seed_of_the_module(first_draw: Any, second_draw: Any) -> None:
    np.testing.assert_array_equal(first_draw, second_draw)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.modal_gpu(function=made, timeout=120)
def test_dtypes_are_arguments(modal_result: Any, dtype: Any) -> None:
    assert modal_result == str(dtype)
