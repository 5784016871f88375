"""Durations as people read them."""

from __future__ import annotations

import math

_MINUTE, _HOUR = 60, 3_600


def duration(seconds: float) -> str:
    """Return how long something took: "0.42 s", "4.2 s", "41 s", "1 min 12 s", "2 h 5 min"."""
    seconds = max(0.0, seconds)
    for limit, digits in ((0.995, 2), (9.95, 1), (59.5, 0)):
        if seconds < limit:
            return f"{seconds:.{digits}f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return _together(whole // _MINUTE, "min", whole % _MINUTE, "s")
    minutes = round(seconds / _MINUTE)
    return _together(minutes // 60, "h", minutes % 60, "min")


def whole(seconds: float) -> str:
    """Return how long something has taken until now, in whole seconds."""
    return f"{int(seconds)} s" if seconds < _MINUTE else duration(int(seconds))


def rough(seconds: float) -> str:
    """Return how long something will take, no more exactly than anybody knows: "5 s", "50 s", "3 min"."""
    step = 5 if seconds <= 30 else 10 if seconds <= 2 * _MINUTE else _MINUTE
    return whole(max(1, math.ceil(seconds / step)) * step)


def _together(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large:,} {unit} {small} {smaller}" if small else f"{large:,} {unit}"
