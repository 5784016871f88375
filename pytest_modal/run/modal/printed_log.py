"""Lines that functions print, from the app's log and from replies, each once and with its call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote.streams import KEPT_OUTPUT
from pytest_modal.run.modal.app_log import Signs, id_in
from pytest_modal.run.printed import Balance, Lines, lines_of

_CUT = 4  # bytes that a cut through a character may have taken away besides


class PrintedLog:
    """Follows what each call prints.

    The log brings it while the call runs, if all goes well; the reply brings what the log has not.
    """

    def __init__(self, signs: Signs) -> None:
        self._signs = signs
        self._running: dict[tuple[str, str], str] = {}  # by container and stream
        self._begun: dict[tuple[str, str], tuple[str, Lines]] = {}
        self._balances: defaultdict[str, Balance] = defaultdict(Balance)

    def add(self, entry: Any) -> Iterator[tuple[str, str]]:
        """Yield the lines of a new entry of the log, each with the key of its call."""
        if entry.source not in ("stdout", "stderr"):
            return
        stream = id_in(entry, "ta-"), entry.source
        for line in entry.message.splitlines(keepends=True):
            printed, mark, event = line.partition(self._signs.mark)
            if printed:
                yield from self._printed(stream, self._running.get(stream, ""), printed)
            for sign in self._signs.found(mark + event):
                if sign.event == "start":
                    self._running[stream] = sign.key

    def rest(self, key: str, outcome: Outcome) -> Iterator[str]:
        """Yield the lines of a finished call that the log has not brought."""
        for text in (outcome.stdout, outcome.stderr):
            lines = list(lines_of(text))
            if len(text.encode("utf-8", "backslashreplace")) >= KEPT_OUTPUT - _CUT:
                # The first one has lost its beginning.
                lines = lines[1:]
            yield from (line for line in lines if self._balances[key].from_reply(line))

    def _printed(self, stream: tuple[str, str], key: str, text: str) -> Iterator[tuple[str, str]]:
        owner, lines = self._begun.get(stream, (key, Lines()))
        if owner != key:
            # The last line of the call before has no end.
            yield from self._new(owner, lines.rest())
            lines = Lines()
        self._begun[stream] = key, lines
        yield from self._new(key, lines.add(text.encode("utf-8", "backslashreplace")))

    def _new(self, key: str, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
        # What is printed before the first call is the start of the container.
        yield from ((key, line) for line in lines if key and self._balances[key].from_log(line))
