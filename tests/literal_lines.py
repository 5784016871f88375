"""Lines of a report, taken literally: only ``*`` stands for something else, for any text that varies.

pytester's ``fnmatch_lines`` reads brackets and question marks as patterns too, so that ``work[raise]`` could not be
written as it is seen.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import pytest

SHOWN = 60  # lines of a report in a failure


def assert_lines(seen: Sequence[str], expected: Sequence[str], *, consecutive: bool = False) -> None:
    """Assert that the lines are seen in this order; others may come between them, unless they are consecutive."""
    __tracebackhide__ = True
    start = 0
    for count, line in enumerate(expected):
        found = _first(seen, line, start)
        if found is None:
            pytest.fail(_missing(seen, line, start))
        if consecutive and count and found != start:
            pytest.fail(_not_next(seen, line, start))
        start = found + 1


def assert_lines_in_any_order(seen: Sequence[str], expected: Sequence[str]) -> None:
    """Assert that each of the lines is seen somewhere."""
    __tracebackhide__ = True
    for line in expected:
        if _first(seen, line) is None:
            pytest.fail(_missing(seen, line))


def _first(seen: Sequence[str], line: str, start: int = 0) -> int | None:
    pattern = re.compile(".*".join(map(re.escape, line.split("*"))), re.DOTALL)
    return next((number for number in range(start, len(seen)) if pattern.fullmatch(seen[number])), None)


def _missing(seen: Sequence[str], line: str, start: int = 0) -> str:
    parts = [f"not seen: {line!r}"]
    if start:
        parts.append(f"   after: {seen[start - 1]!r}")
        above = _first(seen[:start], line)
        if above is not None:
            parts.append(f"   above: {seen[above]!r}")
    parts += [f"    near: {near!r}" for near in difflib.get_close_matches(line, dict.fromkeys(seen[start:]))]
    return "\n".join([*parts, *_report(seen[start:])])


def _not_next(seen: Sequence[str], line: str, start: int) -> str:
    parts = [f"not next: {line!r}", f"   after: {seen[start - 1]!r}", f" instead: {seen[start]!r}"]
    return "\n".join([*parts, *_report(seen[start:])])


def _report(lines: Sequence[str]) -> list[str]:
    more = [f"  ... {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return ["what is seen there:", *(f"  | {line}" for line in lines[:SHOWN]), *more]
