"""How long inference takes, one problem at a time and in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from figures import figure
from inference import answer_all
from matplotlib.ticker import LogLocator

import pytest_modal

BATCHES, SAMPLE, ROUNDS = [1, 4, 16, 64], 128, 3


@pytest_modal.fixture
def timings(model: Any, problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds per problem at several batch sizes; a first round warms up and does not count."""
    alike = [problem for problem in problems if len(problem["input"]) == len("123+456=")][:SAMPLE]
    answer_all(model, alike[:8])
    return [
        {"batch": batch, "round": number, "seconds": sum(row["time"] for row in answer_all(model, alike, batch))}
        for batch in BATCHES
        for number in range(ROUNDS)
    ]


def test_inference_time(timings: list[dict[str, Any]], modal_session: Any, save_csv: Any, save_figure: Any) -> None:
    device = next(call.gpu for call in modal_session.calls if call.name == "timings")
    table = pd.DataFrame(timings)
    table["milliseconds"] = 1000 * table.seconds / SAMPLE
    fastest = table.groupby("batch").milliseconds.min()
    save_csv("timing.csv", table.assign(speedup=fastest[1] / table.milliseconds, device=device))
    with figure() as (drawn, axis):
        axis.plot(table.batch, table.milliseconds, linestyle="", fillstyle="none", label=f"one of {ROUNDS} rounds")
        axis.plot(fastest.index, fastest, marker="", zorder=1, label="fastest round, with its speed-up")
        for batch, milliseconds in fastest.items():
            speedup = f"{fastest[1] / milliseconds:.1f}×"
            axis.annotate(speedup, (batch, milliseconds), (-6, -6), textcoords="offset points", ha="right", va="top")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
        axis.set_xmargin(0.2)
        axis.set_ymargin(0.15)
        axis.set(xlabel="batch size", ylabel="time per problem (ms)", title=f"Batched inference on {device}")
        axis.legend()
        save_figure("timing.png", drawn)
    assert np.isfinite(table.milliseconds).all()
    assert (table.milliseconds > 0).all()
    assert set(table.batch) == set(BATCHES)
