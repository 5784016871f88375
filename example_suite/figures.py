"""One style for all figures, readable in print and by people who see few colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from cycler import cycler
from matplotlib import pyplot as plt

# Each series has the next colour (of Okabe and Ito) and the next marker.
SERIES = cycler(color=["#0072B2", "#D55E00", "#009E73", "#CC79A7"], marker=["o", "s", "^", "D"])
STYLE = {
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": SERIES,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    # An axis that begins at a value would cut its marker.
    "axes.xmargin": 0.08,
    "axes.ymargin": 0.08,
    "grid.alpha": 0.3,
    "lines.markersize": 5,
    "errorbar.capsize": 3,
    "font.size": 10,
    "axes.titlesize": 11,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
}


@contextmanager
def figure(columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Give a figure and its axes in the common style."""
    with plt.rc_context(STYLE):
        yield plt.subplots(1, columns, figsize=(4.4 * columns, 3.6), **options)


def series(axis: Any, x: Any, y: Any, low: Any, high: Any, label: str, shift: float = 0.0) -> None:
    """Draw a series with error bars from `low` to `high`, shifted sideways so that it hides no other."""
    bars = [(y - low).clip(lower=0), (high - y).clip(lower=0)]
    axis.errorbar(x + shift, y, yerr=bars, label=label)


def legend_below(drawn: Any, axis: Any, error_bars: str, columns: int = 1) -> None:
    """Put the legend, which says what the error bars are, where it hides no data."""
    drawn.legend(
        *axis.get_legend_handles_labels(), title=f"error bars: {error_bars}", loc="outside lower center", ncols=columns
    )


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927), 95% by default."""
    share, width = right / of, z * z / of
    middle = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / of + width / (4 * of))
    return middle - half, middle + half
