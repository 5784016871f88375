"""`torch.compile` of a model that lives in a container fixture."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_modal


def missing_tools() -> str:
    """Say what inductor lacks on this machine to build what launches its kernels."""
    compilers = filter(None, [os.environ.get("CC"), "gcc", "clang", "cc"])
    found = {
        "a C compiler": any(map(shutil.which, compilers)),
        "Python.h": Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
    }
    return " and ".join(what for what, is_there in found.items() if not is_there)


@pytest_modal.fixture(scope="container", timeout=120)
def network() -> Any:
    """A small model."""
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.LayerNorm(128), torch.nn.Linear(128, 16)]
    return torch.nn.Sequential(*layers).to("cuda").eval()


@pytest_modal.fixture(timeout=120)
def outputs(network: Any, backend: str) -> Any:
    """What the model says as it is, and compiled."""
    import torch

    inputs = torch.randn(32, 64, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    with torch.no_grad():
        return {"eager": network(inputs), "compiled": torch.compile(network, backend=backend, fullgraph=True)(inputs)}


@pytest.mark.parametrize(
    "backend",
    [
        "eager",
        pytest.param(
            "inductor",
            marks=pytest.mark.skipif(bool(missing_tools()), reason=f"inductor needs {missing_tools()}"),
        ),
    ],
)
def test_a_compiled_model_says_the_same(outputs: Any, backend: str) -> None:
    assert outputs["eager"].shape == (32, 16)
    np.testing.assert_allclose(outputs["compiled"], outputs["eager"], rtol=1e-4, atol=1e-5)
