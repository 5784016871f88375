"""Numbers as the pages and the comparison of two runs show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float) -> str:
    """Return a number with as many digits as are read at a glance."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e7 else f"{value:.4g}"


def level(value: float, *, score: bool) -> str:
    """Return an accuracy as percent, or a mean score as it was measured."""
    return f"{value:.4g}" if score else f"{100 * value + 1e-9:.1f}%"


def level_of(result: Mapping[str, Any]) -> str:
    """Return the accuracy or mean score of a gate's result; empty where it has none."""
    accuracy = result.get("accuracy")
    return level(accuracy, score=bool(result.get("score"))) if isinstance(accuracy, float | int) else ""
