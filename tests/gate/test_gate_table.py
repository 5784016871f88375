"""The bars of the gate, in few simulated runs, each with the error of the simulation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmark_scripts import script


@pytest.fixture(scope="module")
def table() -> Any:
    """The benchmark, as a module."""
    with script("gate_table") as module:
        yield module


@pytest.mark.parametrize(
    "part", ["false_alarms", "honest_changes", "sessions", "power", "drift", "inconclusive", "detection"]
)
def test_every_bar_holds(table: ModuleType, part: str) -> None:
    figures = list(table.PARTS[part](0.02))
    assert figures
    assert not [str(figure) for figure in figures if figure.missed]


def test_a_figure_beyond_its_bar_is_missed(table: ModuleType) -> None:
    assert table.Figure("false alarms", 0.02, 10_000, most=0.005).missed
    assert not table.Figure("false alarms", 0.006, 1_000, most=0.005).missed
    assert table.Figure("power", 0.5, 1_000, least=0.7).missed


def test_a_drop_of_three_points_is_seen_where_the_others_miss_it_or_cry_wolf(table: ModuleType) -> None:
    rng = np.random.default_rng(0)
    seen = dict(zip(table.WAYS, table.failures(200, 0.02, 0.03, 200, rng), strict=True))
    assert seen["FAIL"] > 0.6
    assert seen["FAIL"] > max(seen[f"{way}, 1 v 1"] for way in ("3 points", "two proportions", "McNemar .05")) + 0.2
    # Five rounds of all that is gated, not of what is suspicious alone, help the others little.
    assert seen["FAIL"] > max(seen[f"{way}, 5 v 5"] for way in ("3 points", "two proportions", "2 stderr")) + 0.2
    alarms = dict(zip(table.WAYS, table.failures(200, 0.02, 0.0, 200, rng), strict=True))
    assert min(alarms["1 point, 1 v 1"], alarms["2 points, 1 v 1"]) > 0.02 > alarms["FAIL"]


def test_the_benchmark_prints_figures_with_their_bars(table: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(0.01, "inconclusive") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.endswith("(bar <= 5)") for line in lines)
