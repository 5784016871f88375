"""How messages are worded: three parts, counts, names in a row, text made safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Everything from a container is text of unknown origin: it must not steer the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def three_parts(what: str, where: object, remedy: str) -> str:
    """Return a message that says what happened, where, and what to do."""
    return f"{what}\n  where: {where}\n  what to do: {remedy}"


def first_few(names: Iterable[str], most: int = 5) -> str:
    """Return the first few of many names, and how many more there are."""
    every = list(names)
    shown = ", ".join(every[:most])
    return f"{shown} and {len(every) - most:,} more" if len(every) > most else shown


def some(ids: Iterable[object], most: int = 5) -> str:
    """Return the first few of many ids, as `repr` shows them, and how many more there are."""
    return first_few(map(repr, ids), most)


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: object, limit: int = 300) -> str:
    """Return text from a file as it may be shown: no control characters, no line ends, not too long."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text)[:limit])
    return shown if len(str(text)) <= limit else f"{shown}..."


def safe(text: str) -> str:
    """Show control characters instead of obeying them."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
