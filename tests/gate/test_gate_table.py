"""The bar of the gate: how often it raises a false alarm, and how often it sees a drop, in simulated runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

SOURCE = Path(__file__).parents[2] / "benchmarks" / "gate_table.py"


@pytest.fixture(scope="module")
def table() -> Any:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("gate_table", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_table"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gate_table"]


@pytest.mark.parametrize(("n", "flips"), [(50, 0.02), (200, 0.02), (200, 0.05), (1000, 0.02)])
def test_false_alarms_are_one_in_a_hundred_at_most(table: ModuleType, n: int, flips: float) -> None:
    runs = 400
    alarms = runs * table.failures(n, flips, 0.0, runs, np.random.default_rng(n))[-1]
    assert alarms <= stats.binom.ppf(0.999, runs, 0.01)


def test_a_drop_of_three_points_is_seen_where_the_others_miss_it_or_cry_wolf(table: ModuleType) -> None:
    rng = np.random.default_rng(0)
    seen = dict(zip(table.WAYS, table.failures(200, 0.02, 0.03, 400, rng), strict=True))
    assert seen["pytest-modal"] > 0.7
    assert seen["pytest-modal"] > max(seen["rtol 5%"], seen["unpaired z"], seen["McNemar .05"]) + 0.2
    alarms = dict(zip(table.WAYS, table.failures(200, 0.02, 0.0, 400, rng), strict=True))
    assert alarms["accuracy - .02"] > 0.03


def test_the_benchmark_prints_the_table(table: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(10, 0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["50,", "2%"], ["200,", "2%"], ["200,", "5%"], ["1000,", "2%"]]
    assert all(line.count("/") == 20 for line in lines[2:])
