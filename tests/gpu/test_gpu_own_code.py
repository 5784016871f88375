"""Code of the project on the GPU: kernels, compiled layers, settings and constants, which travel as source.

The tests are in `own_code/`; they import torch in pytest's process too, as many suites do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = Path(__file__).parent / "own_code"
TESTS = [
    "test_layers_run_on_the_gpu",
    "test_inductor_compiles_a_function_of_another_file",
    "test_a_kernel_has_its_source_and_runs",
    "test_each_call_begins_with_the_seed_of_the_module",
    "test_dtypes_are_arguments[torch.float16]",
    "test_dtypes_are_arguments[torch.bfloat16]",
]


@pytest.fixture(scope="module")
def run(run_pytest: Callable[..., Any]) -> Any:
    """One run of the suite."""
    return run_pytest(SUITE, timeout=240)


def test_every_test_is_checked(run: Any) -> None:
    assert set(run.reports) == set(TESTS), run.output_once()


@pytest.mark.parametrize("name", TESTS)
def test_it_passes(run: Any, name: str) -> None:
    if run.outcome(name) == "skipped":
        warnings.warn(run.reports[name].text, stacklevel=1)
        pytest.skip(run.reports[name].text)
    assert run.outcome(name) == "passed", run.reports[name].text
