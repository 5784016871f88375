"""Lines of a report, taken literally: only ``*`` stands for something else, for any text that varies.

pytester's ``fnmatch_lines`` reads brackets and question marks as patterns too, so that ``work[raise]`` could not be
written as it is seen. A line that was wrapped at the width of the terminal is one line: its rest is indented by four
more spaces.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

import pytest

from pytest_modal.report.wrapping import HANG

_SPACES = re.compile(r"(?<=\S) +")
SHOWN = 60  # lines of a report in a failure


def assert_lines(seen: Sequence[str], expected: Sequence[str], *, consecutive: bool = False) -> None:
    """Assert that the lines are seen in this order; others may come between them, unless they are consecutive."""
    __tracebackhide__ = True
    start = rest = 0
    for count, line in enumerate(expected):
        found = _first(seen, line, start)
        if found is None:
            pytest.fail(_missing(seen, line, start))
        first, end = found
        # What a star stands for may be the rest of a wrapped line as well.
        if consecutive and count and first not in (start, rest):
            pytest.fail(_not_next(seen, line, start))
        start, rest = end, [*_joined(seen, first)][-1][1]


def assert_lines_in_any_order(seen: Sequence[str], expected: Sequence[str]) -> None:
    """Assert that each of the lines is seen somewhere."""
    __tracebackhide__ = True
    for line in expected:
        if _first(seen, line) is None:
            pytest.fail(_missing(seen, line))


def unwrapped(seen: Sequence[str]) -> list[str]:
    """Return the lines, those that were wrapped as one each."""
    lines: list[str] = []
    number = 0
    while number < len(seen):
        *_, (line, number) = _joined(seen, number)
        lines.append(line)
    return lines


def _joined(seen: Sequence[str], number: int) -> Iterator[tuple[str, int]]:
    """Yield a line, with more and more of what may be its rest, and the number of the line below that."""
    line, hang = seen[number], re.match(" *", seen[number])[0] + HANG  # type: ignore[index]
    yield line, number + 1
    while line.strip() and number + 1 < len(seen) and re.match(rf"{hang}\S", seen[number + 1]):
        number += 1
        line = f"{line} {seen[number].strip()}"
        yield line, number + 1


def _first(seen: Sequence[str], line: str, start: int = 0) -> tuple[int, int] | None:
    """Return where a line is first seen, and where what follows it begins."""
    pattern, of_joined = _pattern(line), _pattern(_SPACES.sub(" ", line))
    for number in range(start, len(seen)):
        for joined, end in _joined(seen, number):
            # Where a line was broken, it is not known how many spaces there were.
            whole = end == number + 1
            if pattern.fullmatch(joined) if whole else of_joined.fullmatch(_SPACES.sub(" ", joined)):
                return number, end
    return None


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, line.split("*"))), re.DOTALL)


def _missing(seen: Sequence[str], line: str, start: int = 0) -> str:
    parts = [f"not seen: {line!r}"]
    if start:
        parts.append(f"   after: {seen[start - 1]!r}")
        above = _first(seen[:start], line)
        if above is not None:
            parts.append(f"   above: {seen[above[0]]!r}")
    parts += [f"    near: {near!r}" for near in difflib.get_close_matches(line, dict.fromkeys(seen[start:]))]
    return "\n".join([*parts, *_report(seen[start:])])


def _not_next(seen: Sequence[str], line: str, start: int) -> str:
    parts = [f"not next: {line!r}", f"   after: {seen[start - 1]!r}", f" instead: {seen[start]!r}"]
    return "\n".join([*parts, *_report(seen[start:])])


def _report(lines: Sequence[str]) -> list[str]:
    more = [f"  ... {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []
    return ["what is seen there:", *(f"  | {line}" for line in lines[:SHOWN]), *more]
