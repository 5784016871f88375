"""Calls that fail on the GPU: each is that call's error, and the others go on."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

# The labels put the steps in order. Every step but the fault takes most of the memory, so the fault must have left it.
SUITE = """
import pytest_modal

STEPS = ["1-ok", "2-fault", "3-ok", "4-ok"]

@pytest_modal.fixture(scope="container", timeout=100)
def model():
    import torch

    yield torch.ones(1 << 20, device="cuda")

def most():
    import torch

    _, total = torch.cuda.mem_get_info()
    return torch.empty(int(0.6 * total), dtype=torch.uint8, device="cuda")

def fail():
{fault}

@pytest_modal.fixture(params=STEPS, timeout=100)
def value(request, model):
    if request.param == "2-fault":
        return fail()
    most()
    return model.sum().item()

def test_value(value):
    assert value == 1 << 20

def test_calls(modal_session, save_json):
    save_json("calls.json", [[call.name, call.container, call.gpu] for call in modal_session.calls])
"""


@dataclass(frozen=True)
class Fault:
    """A way to fail.

    Attributes
    ----------
    body : str
        Of the function that fails.
    says : str
        Part of the error.
    ends_process : bool
        Whether the process can't be used again.
    """

    body: str
    says: str
    ends_process: bool = True


FAULTS = {
    "out of memory": Fault(
        """
        import torch

        held = most()
        _, total = torch.cuda.mem_get_info()
        return torch.empty(2 * total, dtype=torch.uint8, device=held.device)
        """,
        "OutOfMemoryError",
        ends_process=False,
    ),
    "out of memory, kept exception": Fault(
        """
        import torch

        held = most()
        _, total = torch.cuda.mem_get_info()
        try:
            return torch.empty(2 * total, dtype=torch.uint8, device=held.device)
        except torch.cuda.OutOfMemoryError as error:
            kept = error  # the error knows this frame, which now knows the error
            raise
        """,
        "OutOfMemoryError",
        ends_process=False,
    ),
    "device-side assert": Fault(
        """
        import torch

        embedding = torch.nn.Embedding(10, 4, device="cuda")
        return embedding(torch.tensor([10], device="cuda")).sum().item()
        """,
        "device-side assert",
    ),
    "device-side assert that nobody waits for": Fault(
        """
        import torch

        torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")]
        return 0
        """,
        "device-side assert",
    ),
    "illegal memory access": Fault(
        """
        import torch

        # A tensor that has lost its memory, all but a page of it.
        tensor = torch.empty(1 << 30, device="cuda")
        tensor.untyped_storage().resize_(1024)
        torch.cuda.empty_cache()
        return tensor.sum().item()
        """,
        "illegal memory access",
    ),
    "illegal memory access of a kernel": Fault(
        '''
        import ctypes
        import torch

        source = b"""
        .version 7.0
        .target sm_75
        .address_size 64

        .visible .entry wild()
        {
            .reg .b64 %rd<2>;
            .reg .b32 %r<2>;
            mov.u64 %rd1, 16;
            mov.u32 %r1, 1;
            st.global.u32 [%rd1], %r1;
            ret;
        }
        """
        def check(status):
            if status:
                raise OSError(f"the kernel can't be run: error {status} of the driver")

        driver = ctypes.CDLL("libcuda.so.1")
        module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        check(driver.cuModuleLoadData(ctypes.byref(module), source))
        check(driver.cuModuleGetFunction(ctypes.byref(kernel), module, b"wild"))
        check(driver.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, None, None, None))
        torch.cuda.synchronize()
        return 0
        ''',
        "illegal memory access",
    ),
}

# The order of a batch puts what needs one container fixture before what needs two: here, the broken one is first.
BROKEN_FIXTURE = """
import pytest_modal

@pytest_modal.fixture(scope="container", timeout=100)
def broken():
    import torch

    return torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")]

@pytest_modal.fixture(scope="container", timeout=100)
def model():
    import torch

    return torch.ones(8, device="cuda")

@pytest_modal.fixture(scope="container", timeout=100)
def other():
    return 1

@pytest_modal.fixture(params=[1, 2], timeout=100)
def bad(request, broken):
    return request.param

@pytest_modal.fixture(params=[1, 2], timeout=100)
def value(request, model, other):
    return model.sum().item()

def test_bad(bad):
    pass

def test_value(value):
    assert value == 8

def test_calls(modal_session, save_json):
    save_json("calls.json", [[call.name, call.container, call.gpu] for call in modal_session.calls])
"""


@dataclass(frozen=True)
class Failed:
    """A run in which a call has failed."""

    fault: Fault
    run: Any

    @property
    def calls(self) -> dict[str, tuple[str, str]]:
        """Process and device of each call."""
        return read_calls(self.run)


def read_calls(run: Any) -> dict[str, tuple[str, str]]:
    """Return process and device of each call of a run."""
    written = list(run.files.rglob("calls.json"))
    assert written, run.output_once()
    return {name: (process, device) for name, process, device in json.loads(written[0].read_text())}


@pytest.fixture(scope="module", params=FAULTS)
def failed(request: pytest.FixtureRequest, run_pytest: Callable[..., Any]) -> Failed:
    """A run for each way to fail."""
    fault = FAULTS[request.param]
    body = textwrap.indent(textwrap.dedent(fault.body).strip(), "    ")
    run = run_pytest(SUITE.replace("{fault}", body))
    if unable := re.search("OSError: the kernel can't be run: .*", run.output):
        pytest.skip(unable[0])  # where the driver has no compiler for PTX
    return Failed(fault, run)


def test_it_is_the_error_of_that_call(failed: Failed) -> None:
    assert failed.run.outcome("test_value[2-fault]") == "error", failed.run.output_once()
    text = failed.run.reports["test_value[2-fault]"].text
    assert "value[2-fault] raised " in text, failed.run.output_once()
    assert failed.fault.says in text, failed.run.output_once()


def test_the_calls_before_and_after_it_succeed(failed: Failed) -> None:
    outcomes = {step: failed.run.outcome(f"test_value[{step}]") for step in ("1-ok", "3-ok", "4-ok")}
    assert set(outcomes.values()) == {"passed"}, failed.run.output_once()


def test_the_process_is_replaced_only_if_it_can_no_longer_be_used(failed: Failed) -> None:
    before, bad, *after = [process for process, _ in failed.calls.values()]
    assert before == bad, failed.run.output_once()
    assert len(set(after)) == 1, failed.run.output_once()
    assert (after[0] != bad) is failed.fault.ends_process, failed.run.output_once()


def test_the_model_is_loaded_again_only_in_a_new_process(failed: Failed) -> None:
    times = "2 times" if failed.fault.ends_process else "1 time"
    assert f"loaded model: {times}," in failed.run.output, failed.run.output_once()


def test_the_other_calls_are_reported_with_the_gpu(failed: Failed) -> None:
    devices = {device for name, (_, device) in failed.calls.items() if "ok" in name}
    assert len(devices) == 1, failed.run.output_once()
    assert devices.pop().startswith("NVIDIA"), failed.run.output_once()


def test_the_failed_call_is_reported_with_the_gpu(failed: Failed) -> None:
    _, device = failed.calls["value[2-fault]"]
    assert device.startswith("NVIDIA"), failed.run.output_once()


@pytest.fixture(scope="module")
def broken(run_pytest: Callable[..., Any]) -> Any:
    """A run in which a container fixture fails on the GPU, which its body does not wait for."""
    return run_pytest(BROKEN_FIXTURE)


def test_a_container_fixture_that_fails_is_explained_to_the_first_of_its_users_and_the_others_point_to_it(
    broken: Any,
) -> None:
    outcomes = [broken.outcome(f"test_bad[{number}]") for number in (1, 2)]
    assert outcomes == ["error", "error"], broken.output_once()
    first, other = (broken.reports[f"test_bad[{number}]"].text for number in (1, 2))
    assert "container fixture broken, which bad[1] uses, raised " in first
    assert "device-side assert" in first
    assert other.startswith("as in test_it.py::test_bad[1]: ")
    assert "device-side assert" in other


def test_what_the_gpu_prints_is_shown(broken: Any) -> None:
    assert "Assertion `" in broken.output, broken.output_once()


def test_a_container_fixture_that_fails_is_loaded_once(broken: Any) -> None:
    assert broken.output.count("modal: loading broken") == 1, broken.output_once()


def test_the_calls_after_a_container_fixture_that_failed_succeed(broken: Any) -> None:
    assert [broken.outcome(f"test_value[{number}]") for number in (1, 2)] == ["passed", "passed"], broken.output_once()
    processes = {name: process for name, (process, _) in read_calls(broken).items()}
    assert processes["value[1]"] == processes["value[2]"] != processes["bad[1]"]
