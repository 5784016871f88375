"""Numbers as the pages and the comparison of two runs show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def seconds(number: float) -> str:
    """Return a time as people read it."""
    if 0 < number < 0.0005:
        return "< 1 ms"
    if number < 1:
        return f"{1000 * number:.0f} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(number: int) -> str:
    """Return a number of bytes as people read it."""
    if number < 1000:
        return f"{number} B"
    amount, unit = number / 1000, "kB"
    for larger in ("MB", "GB"):
        if amount >= 999.5:
            amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"


def gibibytes(number: int | None) -> str:
    """Return an amount of memory; empty where it is not known."""
    if number is None:
        return ""
    amount = number / 2**30
    return f"{amount:.1f} GiB" if amount >= 0.1 else f"{number / 2**20:.1f} MiB"


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
