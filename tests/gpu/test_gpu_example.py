"""The example suite on the GPU and on the CPU of one machine: the same tables."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "example_suite"
DEVICES = {"gpu": {}, "cpu": {"CUDA_VISIBLE_DEVICES": ""}}
# How far the numbers may be apart. A character whose confidence is at the edge of two bins can change them.
TOLERANCES = {
    "accuracy_by_digits.csv": 1e-3,
    "accuracy_by_carries.csv": 1e-3,
    "perplexity.csv": 1e-3,
    "reliability.csv": 1e-2,
}


@pytest.fixture(scope="module")
def runs(run_pytest: Callable[..., Any]) -> dict[str, Any]:
    """Both runs, at the same time."""

    def run(device: str) -> Any:
        return run_pytest(EXAMPLE, timeout=200, env={"HF_HUB_OFFLINE": "1", **DEVICES[device]})

    with ThreadPoolExecutor() as pool:
        return dict(zip(DEVICES, pool.map(run, DEVICES), strict=True))


@pytest.fixture
def tables(runs: dict[str, Any]) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of both runs, by name."""
    return {device: {path.name: pd.read_csv(path) for path in run.files.rglob("*.csv")} for device, run in runs.items()}


@pytest.mark.parametrize(("device", "name"), [("gpu", "NVIDIA"), ("cpu", "cpu")])
def test_it_passes_with_its_accuracy_gates(runs: dict[str, Any], device: str, name: str) -> None:
    assert runs[device].status == pytest.ExitCode.OK, runs[device].output_once()
    assert f"mode: local; device: {name}" in runs[device].output, runs[device].output_once()


def test_every_output_is_the_same(tables: dict[str, dict[str, pd.DataFrame]]) -> None:
    columns = ["id", "correct", "output"]
    gpu, cpu = (tables[device]["results.csv"][columns].fillna("") for device in DEVICES)
    assert gpu.id.tolist() == cpu.id.tolist()
    assert gpu.correct.tolist() == cpu.correct.tolist()
    flipped = gpu.output != cpu.output
    shown = gpu[flipped].assign(on_cpu=cpu.output[flipped]).to_string(max_rows=20)
    assert not flipped.any(), f"{flipped.sum()} of {len(gpu)} outputs differ:\n{shown}"


@pytest.mark.parametrize("name", TOLERANCES)
def test_the_numbers_of_a_table_are_the_same(tables: dict[str, dict[str, pd.DataFrame]], name: str) -> None:
    gpu, cpu = tables["gpu"][name], tables["cpu"][name]
    assert list(gpu.columns) == list(cpu.columns)
    for column in gpu.columns:
        if pd.api.types.is_numeric_dtype(gpu[column]):
            np.testing.assert_allclose(gpu[column], cpu[column], rtol=TOLERANCES[name], atol=1e-9, err_msg=column)
        else:
            assert gpu[column].tolist() == cpu[column].tolist()
