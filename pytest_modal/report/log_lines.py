"""The progress of a batch in a log: lines at intervals, also in a long silence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.batch.quantities import whole
from pytest_modal.report.running import Running
from pytest_modal.wording import count, first_few, safe, safe_line

STATUS = 30.0  # seconds after which what is done is said, if anything was
SILENCE = 60.0  # seconds after which it is said what is waited for
MOST_ALIKE = 3  # lines that are alike: many containers do the same
LONGEST = 1_000  # characters of what is quoted
_WAITS = {
    "": "starting",
    "connecting": "connecting",
    "building images": "waiting for images",
    "starting containers": "waiting for a container",
    "running": "waiting for a container",
    "closing": "closing the session",
    "stopping": "stopping",
}


class LogLines:
    """Writes lines that a log can hold: one for each tenth of the calls, model load and piece of news.

    Parameters
    ----------
    verbosity : int
        pytest's: below 0 nothing is written but what functions print, above it each call.
    """

    def __init__(self, write: Callable[[str], None], running: Running, verbosity: int) -> None:
        self._write_line, self._running, self._verbosity = write, running, verbosity
        self._written_at = self._said_at = time.monotonic()
        self._said = 0
        self._alike = Counter[tuple[str, str]]()
        self._news = News()

    def progress(self, event: Progress) -> None:
        """Write what has happened."""
        if event.printed is not None:
            self._write_line(printed(event))
        elif event.what and (event.what != "running" or self._verbosity > 0):
            self._alike[event.what, event.label] += 1
            number = self._alike[event.what, event.label]
            if number <= MOST_ALIKE or self._verbosity > 0:
                more = " (and others, which are not listed)" if number == MOST_ALIKE and not self._verbosity else ""
                self._write(f"{said(event)}{more}")

    def outcome(self, outcome: Outcome) -> None:
        """Write how many calls are done, at each tenth."""
        if (message := self._news.of(outcome)) is not None:
            if message:
                self._write(message)
            return
        total, done = self._running.total, self._running.done
        if self._verbosity > 0 or done * 10 // total > self._said * 10 // total:
            self._say()

    def tick(self) -> None:
        """Write what has been done for some time, or what is waited for."""
        now = time.monotonic()
        if self._running.done > self._said and now - self._said_at >= STATUS:
            self._say()
        elif now - self._written_at >= SILENCE:
            spent = self._running.cost
            so_far = [f"{whole(self._running.seconds)} so far", *([spent.amount] if spent else [])]
            self._say(self._waits_for(), *so_far)

    def _say(self, *more: str) -> None:
        running = self._running
        self._said, self._said_at = running.done, time.monotonic()
        failed = f", {running.failed:,} failed" if running.failed else ""
        left = [running.left] if running.left else []
        done = f"{running.done:,}/{count(running.total, 'call')} done{failed}"
        self._write("; ".join([f"modal: {done}", *more, *left]))

    def _waits_for(self) -> str:
        now = time.monotonic()
        busy = [
            f"{each.does}{f' on {each.where}' if each.where else ''} for {whole(now - each.since)}"
            for each in self._running.busy
        ]
        return first_few(busy, 3) if busy else _WAITS[self._running.phase]

    def _write(self, line: str) -> None:
        self._written_at = time.monotonic()
        if self._verbosity >= 0:
            self._write_line(line)


class News:
    """Failures of the infrastructure: one can fail many calls, but it is news once."""

    def __init__(self) -> None:
        self._told = set[str]()

    def of(self, outcome: Outcome) -> str | None:
        """Return a line about a failure of the infrastructure, an empty one if it is no news; None without such."""
        if outcome.status != "infrastructure":
            return None
        message = str((outcome.error or {}).get("message", ""))
        if message in self._told:
            return ""
        self._told.add(message)
        return f"modal: {safe(message)}"


def said(event: Progress) -> str:
    """Return what has happened as a line."""
    return f"modal: {safe_line(event.what)} {safe_line(event.label, LONGEST)}"


def printed(event: Progress) -> str:
    """Return what a function has printed, with its call."""
    return safe(f"{event.label} | {event.printed}")
