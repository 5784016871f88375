"""An ordinary suite on the GPU: devices, memory, tensors, compiled models, and the summary of its run.

Its tests are in `suite/`; they run in one batch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = Path(__file__).parent / "suite"
CHECKS = {
    "device and peak memory": ("test_device", ""),
    "tensors": ("test_tensors", ""),
    "models that do not fit together": ("test_memory", ""),
    "torch.compile, eager": ("test_compile", "[eager]"),
    "torch.compile, inductor": ("test_compile", "[inductor]"),
}


@pytest.fixture(scope="module")
def run(run_pytest: Callable[..., Any]) -> Any:
    """One run of the whole suite."""
    return run_pytest(SUITE, timeout=240)


def test_every_test_is_checked(run: Any) -> None:
    checked = {name for module, ending in CHECKS.values() for name in names_of(run, module, ending)}
    assert checked == set(run.reports)


@pytest.mark.parametrize("check", CHECKS)
def test_the_tests_of_the_suite_pass(run: Any, check: str) -> None:
    names = names_of(run, *CHECKS[check])
    assert names, run.output_once()
    failed = [name for name in names if run.outcome(name) not in ("passed", "skipped")]
    assert not failed, "\n\n".join(f"{name}:\n{run.reports[name].text}" for name in failed)
    skipped = {name: run.reports[name].text for name in names if run.outcome(name) == "skipped"}
    reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
    if len(skipped) == len(names):
        pytest.skip(reasons)
    if skipped:
        warnings.warn(f"skipped in the suite: {reasons}", stacklevel=1)


def test_the_summary_names_the_device(run: Any) -> None:
    devices = re.findall("^mode: local; device: (.*)$", run.output, re.MULTILINE)
    assert len(devices) == 1, run.output_once()
    assert any(device.startswith("NVIDIA") for device in devices[0].split(", "))


def test_a_gpu_that_was_not_used_is_a_warning(run: Any) -> None:
    warned = re.findall(r"^modal: warning: (.*?)\s+and\s+computed\s+on\s+the\s+CPU:\s+(.*?);", run.output, re.MULTILINE)
    assert len(warned) == 1, run.output_once()
    who, calls = warned[0]
    assert who.startswith("1 call had an NVIDIA"), who
    assert calls == "idle"


def names_of(run: Any, module: str, ending: str) -> list[str]:
    """Return the tests of a module whose names have that ending."""
    return [name for name, report in run.reports.items() if report.module == module and name.endswith(ending)]
