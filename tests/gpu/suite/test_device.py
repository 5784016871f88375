"""The device of a call, and the memory that the call took there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

import pytest_modal

ALLOCATED = 512 << 20  # bytes


@pytest_modal.fixture(timeout=120)
def device_name() -> Any:
    """The name of the GPU, from a call that takes a known amount of its memory."""
    import torch

    memory = torch.empty(ALLOCATED, dtype=torch.uint8, device="cuda")
    return torch.cuda.get_device_name(memory.device)


@pytest_modal.fixture(timeout=120)
def small() -> Any:
    """A call of the same process that takes little memory."""
    import torch

    return torch.ones(8, device="cuda").sum().item()


@pytest_modal.fixture(timeout=120, env={"CUDA_VISIBLE_DEVICES": ""})
def hidden() -> Any:
    """A call whose environment hides the GPU."""
    import torch

    return torch.cuda.is_available()


@pytest_modal.fixture(timeout=120)
def idle() -> Any:
    """A call that forgets to move its tensors to the GPU."""
    import torch

    return torch.ones(8).sum().item()


@pytest_modal.fixture(timeout=120, gpu=None)
def modest() -> Any:
    """A call that declares to need no GPU."""
    return 1


@pytest.fixture
def calls(modal_session: Any) -> dict[str, Any]:
    """The facts of the calls, by name."""
    return {call.name: call for call in modal_session.calls}


def test_a_call_is_reported_with_its_device(device_name: str, calls: Any) -> None:
    assert device_name.startswith("NVIDIA")
    assert calls["device_name"].gpu == device_name


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs nvidia-smi")
def test_the_device_has_the_name_that_nvidia_smi_reports(device_name: str) -> None:
    """On Modal, that is the name of the device of a call that has not used torch."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert device_name in [name.strip() for name in names]


def test_peak_memory_is_what_the_call_allocated(device_name: str, calls: Any) -> None:
    assert ALLOCATED <= calls["device_name"].peak_memory < 2 * ALLOCATED


def test_peak_memory_is_not_that_of_another_call(device_name: str, small: float, calls: Any) -> None:
    assert calls["small"].container == calls["device_name"].container
    assert 0 < calls["small"].peak_memory < ALLOCATED


def test_a_gpu_that_the_environment_hides_is_not_used(hidden: bool, calls: Any) -> None:
    assert hidden is False
    assert calls["hidden"].gpu == "cpu"


def test_a_call_that_computes_on_the_cpu_is_reported_with_the_cpu(device_name: str, idle: float, calls: Any) -> None:
    assert calls["idle"].container == calls["device_name"].container
    assert calls["idle"].gpu == "cpu"


def test_a_call_without_a_gpu_is_reported_with_the_cpu(modest: int, calls: Any) -> None:
    assert calls["modest"].gpu == "cpu"


@pytest_modal.fixture(timeout=120, env={"ALONE": "1"})
def arrays() -> Any:
    """A call that computes on the GPU without torch, in a process of its own."""
    import cupy

    return float(cupy.ones(8).sum())


@pytest.mark.skipif(find_spec("cupy") is None, reason="needs cupy")
def test_a_call_that_computes_with_another_library_is_reported_with_the_gpu(arrays: float, calls: Any) -> None:
    assert arrays == 8
    assert calls["arrays"].gpu.startswith("NVIDIA")


def test_torch_is_imported_in_the_worker_only(device_name: str) -> None:
    assert "torch" not in sys.modules
