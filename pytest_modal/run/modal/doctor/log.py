"""The app's log while the doctor looks: lines, with when they came."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

from pytest_modal.run.endings import exit_status_in
from pytest_modal.run.modal.app_log import follow, id_in, listen

_PAUSE = 0.5  # seconds


@dataclass(frozen=True)
class Entry:
    """A line of the log.

    Attributes
    ----------
    at : float
        When it came; monotonic seconds.
    text : str
        The line.
    system : bool
        Whether Modal has written it, and not a function.
    container, call : str
        What it belongs to.
    """

    at: float
    text: str
    system: bool
    container: str
    call: str


class Log:
    """Follows the log of an app."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._came = asyncio.Event()

    async def watch(self, app: Any) -> None:
        """Read the log, for ever."""
        await listen(app, self._add, _PAUSE)

    def _add(self, entry: Any) -> None:
        system = entry.source not in ("stdout", "stderr")
        ids = id_in(entry, "ta-"), id_in(entry, "fc-")
        self.entries += [Entry(time.monotonic(), text, system, *ids) for text in entry.message.splitlines()]
        self._came.set()
        self._came.clear()

    def lines(self, text: str) -> list[Entry]:
        """Return the lines that contain a text, in the order in which they came."""
        return [entry for entry in self.entries if text in entry.text]

    async def wait_for(self, text: str, seconds: float, count: int = 1) -> bool:
        """Wait until so many lines contain a text; return whether they came in time."""
        end = time.monotonic() + seconds
        while len(self.lines(text)) < count:
            left = end - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), min(left, _PAUSE))
        return True

    def exits(self, containers: set[str]) -> list[tuple[float, int]]:
        """Return when containers have ended by themselves, and with which exit status, as Modal's own lines say."""
        ends = [entry for entry in self.entries if entry.system and entry.container in containers]
        return [(entry.at, status) for entry in ends if (status := exit_status_in(entry.text)) is not None]


async def read_again(app: Any, seconds: float, text: str, count: int) -> int:
    """Open the log of an app anew, and return how many lines contain a text: at most `count`, after `seconds`."""
    found = 0

    async def read() -> None:
        nonlocal found
        async for entry in follow(app):
            found += entry.message.count(text)
            if found >= count:
                return

    task = asyncio.ensure_future(read())
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task], timeout=1)
    return found
