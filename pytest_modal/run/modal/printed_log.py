"""Lines that functions print, from the app's log and from replies, each once and with its call."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote.modal_worker import MARK
from pytest_modal.remote.streams import KEPT_OUTPUT
from pytest_modal.run.modal.app_log import signs_in
from pytest_modal.run.printed import Balance, Lines, lines_of

_CUT = 4  # bytes that a cut through a character may have taken away besides


class PrintedLog:
    """Follows what each call prints.

    The log brings it while the call runs, if all goes well; the reply brings what the log has not.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._counts: Counter[int] = Counter()
        self._calls: dict[str, str] = {}  # by the id that Modal gives a call
        self._running: dict[str, str] = {}  # by container
        self._begun: dict[tuple[str, str], tuple[str, Lines]] = {}
        self._balances: defaultdict[str, Balance] = defaultdict(Balance)

    def opened(self) -> None:
        """Note that the log comes from its beginning: what was seen of it is not new."""
        self._counts.clear()

    def add(self, entry: Any) -> Iterator[tuple[str, str]]:
        """Yield the new lines of an entry of the log, each with the key of its call."""
        if entry.source not in ("stdout", "stderr") or not self._is_new(entry):
            return
        handle, container = (_id(entry, prefix) for prefix in ("fc-", "ta-"))
        for line in entry.message.splitlines(keepends=True):
            printed, mark, event = line.partition(MARK)
            if printed:
                key = self._calls.get(handle) or self._running.get(container, "")
                yield from self._printed((container, entry.source), key, printed)
            for sign in signs_in(mark + event):
                if sign.event == "start":
                    self._running[container] = sign.key
                    if handle:
                        self._calls[handle] = sign.key

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

    def _is_new(self, entry: Any) -> bool:
        content = hash((entry.timestamp, entry.source, tuple(entry.context_ids), entry.message))
        self._counts[content] += 1
        identity = content, self._counts[content]
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def _id(entry: Any, prefix: str) -> str:
    return next((each for each in entry.context_ids if each.startswith(prefix)), "")
