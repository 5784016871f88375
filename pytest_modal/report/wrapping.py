"""Lines that are broken at words to fit a width."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

WIDTH = 80  # columns of a usual terminal, and pytest's own where there is none
HANG = "    "  # before the rest of a line, besides the indentation of its beginning
# Node ids, labels, intervals, numbers with their unit and quotations stay whole, although there are spaces in them.
_WORD = re.compile(
    r"""
    (?:[^\s"`\[]*(?:"[^"]*"|`[^`]*`|(?<=\w)\[[^\]]*\]|\[[^\s\]]+,\ [^\s\]]+\]))+\S*
    |\d[\d.,]*\ (?:min|ms|s|h|B|KiB|MiB|GiB)(?!\w)\S*
    |\S+
    """,
    re.VERBOSE,
)


def columns(text: str) -> int:
    """Return how many columns of a terminal text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Me", "Mn", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, width: int) -> str:
    """Return the beginning of text that fits a width; where something is missing, dots say so."""
    if columns(text) <= width:
        return text
    dots = "..."[: max(0, width)]
    while text and columns(text) > width - len(dots):
        text = text[:-1]
    return text + dots


def wrapped(line: str, width: int) -> list[str]:
    """Return a line as several, each at most `width` columns wide where its words are; without a width as it is."""
    if width <= 0 or columns(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    hang = indent + HANG
    lines, current = list[str](), indent
    for space, word in _words(line[len(indent) :], width - len(hang)):
        if current.strip() and columns(current + space + word) > width:
            lines.append(current)
            current = hang + word
        else:
            current += space + word
    return [*lines, current]


def _words(text: str, width: int) -> Iterator[tuple[str, str]]:
    """Yield words, each with the space before it."""
    end = 0
    for match in _WORD.finditer(text):
        space, end = text[end : match.start()], match.end()
        whole = match[0]
        if columns(whole) <= width or "[" in whole.partition('"')[0]:
            yield space, whole
            continue
        for part in re.finditer(r"(\s*)(\S+)", whole):
            yield space + part[1], part[2]
            space = ""
