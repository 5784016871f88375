"""Times and sizes as people read them: in the terminal, on pages, in comments."""

from __future__ import annotations

import math

_MINUTE, _HOUR = 60, 3_600


def duration(seconds: float) -> str:
    """Return how long something took: "420 ms", "4.2 s", "41 s", "1 min 12 s", "2 h 5 min"."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.0005 else "< 1 ms"
    for limit, digits in ((9.95, 1), (59.5, 0)):
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


def size(number: float) -> str:
    """Return a number of bytes: "812 B", "9.3 KiB", "184 KiB", "1.2 GiB"."""
    if number < 1000:
        return f"{number:.0f} B"
    amount, unit = number / 1024, "KiB"
    for larger in ("MiB", "GiB"):
        if amount >= 999.5:
            amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:,.0f} {unit}"


def _together(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large:,} {unit} {small} {smaller}" if small else f"{large:,} {unit}"
