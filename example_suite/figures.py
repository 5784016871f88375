"""One style for all figures, readable in print and by people who see few colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"addition": "#0072B2", "subtraction": "#D55E00"}
MARKERS = {"addition": "o", "subtraction": "s"}
STYLE = {
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 10,
    "axes.titlesize": 11,
    "legend.frameon": False,
}


@contextmanager
def figure(columns: int = 1, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Give a figure and its axes in the common style."""
    with plt.rc_context(STYLE):
        yield plt.subplots(1, columns, figsize=(4.4 * columns, 3.4), **options)


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927), 95% by default."""
    share, width = right / of, z * z / of
    middle = (share + width / 2) / (1 + width)
    half = z / (1 + width) * math.sqrt(share * (1 - share) / of + width / (4 * of))
    return middle - half, middle + half
