"""How messages are worded: three parts, counts, names in a row, paths, text made safe to show."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

# Control characters, marks that turn the direction of text or hide it, halves of surrogate pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

# Where GitHub reads a log for commands: "::error::" at the start of a line, "##[error]" anywhere.
_COMMANDS = re.compile(r"^([^\S\n]*):(?=:)|#(?=#\[)", re.MULTILINE)


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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: columns as wide as their widest cell, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def shown_path(path: Path, rootdir: Path) -> str:
    """Return a path as it is shown: relative to the rootdir, where it is below."""
    return path.relative_to(rootdir).as_posix() if path.is_relative_to(rootdir) else str(path)


def safe(text: str) -> str:
    """Return text of unknown origin so that it can't steer a terminal: several lines, what is unsafe as escapes.

    Everything from a container, a model or a file that somebody else wrote is such text. In a GitHub workflow its lines
    are no commands either.
    """
    # Most text is plain, and pages ask for much.
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE.sub(lambda match: _escaped(match[0]), text)
    return _without_commands(text)


def safe_line(text: object, limit: int = 300) -> str:
    """Return text of unknown origin on one line: at most `limit` characters of it, what is not printable as escapes."""
    whole = str(text)
    cut = whole if len(whole) <= limit else f"{whole[: limit - 4].rstrip()} ..."
    return _without_commands("".join(each if each.isprintable() else _escaped(each) for each in cut))


def _without_commands(text: str) -> str:
    if not ("::" in text or "##[" in text) or os.environ.get("GITHUB_ACTIONS") != "true":
        return text
    return _COMMANDS.sub(lambda match: f"{match[1] or ''}\\x{ord(match[0][-1]):x}", text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
