"""Texts as the page shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from pytest_modal.wording import safe

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
# As pytest marks it, and the last line of a traceback.
_ERROR_LINE = re.compile(r"^(E(\s|$)|[\w.]*(Error|Exception|Interrupt)(:|$))", re.MULTILINE)
HEAD, TAIL = 6_000, 14_000  # characters that are shown of a long text: the error is at its end
_CHANGE = re.compile(r"(?<![\w.])[-+](?:\d+(?:\.\d+)?|inf) points(?: \[[-+.\d]+, [-+.\d]+\])?")
_ARROW = re.compile(r"(?<=\d%) -> (?=\d+\.\d%)")
_SHORT_HEAD, _SHORT_TAIL = 500, 1_500
ALL_TEXTS = 6_000_000  # characters of all texts, after which they are cut shorter
CELL = 400


@dataclass(frozen=True)
class Passage:
    """A text with line breaks, of which the middle may be left out.

    Attributes
    ----------
    head, tail : tuple of tuple
        Pieces: whether these lines tell the error, and the lines with their ends.
    left_out : int
        Characters between both.
    """

    head: tuple[tuple[bool, str], ...]
    left_out: int = 0
    tail: tuple[tuple[bool, str], ...] = ()


class Texts:
    """Makes passages, and cuts them shorter once they are many."""

    def __init__(self, most: int = ALL_TEXTS) -> None:
        self._left = most

    def passage(self, text: str) -> Passage | None:
        """Return a text as it is shown; None if it is empty."""
        head, tail = (HEAD, TAIL) if self._left > 0 else (_SHORT_HEAD, _SHORT_TAIL)
        self._left -= min(len(text), head + tail)
        if len(text) <= head + tail:
            shown = plain(text).strip("\n")
            return Passage(tuple(_pieces(shown))) if shown.strip() else None
        return Passage(
            tuple(_pieces(plain(text[:head]).lstrip("\n"))),
            len(text) - head - tail,
            tuple(_pieces(plain(text[-tail:]).rstrip("\n"))),
        )

    def cell(self, text: str) -> str:
        """Return the beginning of a text that is shown in a cell of a table."""
        shown = cut(text, CELL if self._left > 0 else CELL // 4)
        self._left -= len(shown)
        return shown


def plain(text: str) -> str:
    """Return a text without the colours of a terminal; all other control codes are shown."""
    # Most of a page's texts are names and numbers.
    if not (text.isascii() and text.isprintable()):
        text = _COLOURS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return safe(text)


def cut(text: str, most: int) -> str:
    """Return the beginning of a text, which says so if there is more."""
    # Before anything else is done with it: it may be a megabyte.
    return plain(text) if len(text) <= most else f"{plain(text[:most])} … ({len(text):,} characters)"


def with_minus(text: str) -> str:
    """Return a line of a gate with the signs of the page: minus signs of changes, and arrows."""
    return _ARROW.sub(" → ", _CHANGE.sub(lambda found: found[0].replace("-", "−"), text))


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    if _ERROR_LINE.search(text) is None:
        yield False, text
        return
    lines = text.splitlines(keepends=True)
    for is_error, together in groupby(lines, key=lambda line: _ERROR_LINE.match(line) is not None):
        yield is_error, "".join(together)
