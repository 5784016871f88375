"""Output of functions as lines, for those who watch a batch with ``pytest -s``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

LONGEST_LINE = 16 * 1024  # bytes; what is longer is shown in pieces


class Lines:
    """Puts the lines of a stream together that arrives in pieces."""

    def __init__(self) -> None:
        self._begun = b""

    def add(self, piece: bytes) -> Iterator[str]:
        """Yield the lines that are complete with this piece."""
        *complete, begun = (self._begun + piece).split(b"\n")
        for line in complete:
            yield from _pieces(line)
        if len(begun) > LONGEST_LINE:
            # What a progress bar has written over is not kept.
            begun = begun[max(0, begun[:-1].rfind(b"\r")) :]
        whole = len(begun) - len(begun) % LONGEST_LINE
        yield from _pieces(begun[:whole]) if whole else ()
        self._begun = begun[whole:]

    def rest(self) -> Iterator[str]:
        """Yield the beginning of a line whose end will not come."""
        if self._begun:
            yield from _pieces(self._begun)
        self._begun = b""


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of a whole output."""
    lines = Lines()
    yield from lines.add(text.encode("utf-8", "backslashreplace"))
    yield from lines.rest()


def _pieces(line: bytes) -> Iterator[str]:
    """Yield a line as a terminal would show it: what was written over, as by progress bars, is gone."""
    last = line.rstrip(b"\r").rpartition(b"\r")[2]
    for start in range(0, max(1, len(last)), LONGEST_LINE):
        yield last[start : start + LONGEST_LINE].decode("utf-8", "backslashreplace")


class Balance:
    """Lines of a call that come twice, in the app's log and in its reply: each is shown once, whichever is first.

    The log may lack lines, or bring them late; the reply has the last of them, and lacks what never passed through
    Python's streams.
    """

    def __init__(self) -> None:
        self._ahead: Counter[str] = Counter()

    def from_log(self, line: str) -> bool:
        """Note a line of the log; return whether it is new."""
        self._ahead[line] += 1
        return self._ahead[line] > 0

    def from_reply(self, line: str) -> bool:
        """Note a line of the reply; return whether it is new."""
        self._ahead[line] -= 1
        return self._ahead[line] < 0
