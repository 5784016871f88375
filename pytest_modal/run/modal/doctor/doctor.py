"""Visits of the doctor: every check within its time, in one app, which ends whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

from pytest_modal.run.modal import errors
from pytest_modal.run.modal.doctor import before, calls, deaths, logs, throughout
from pytest_modal.run.modal.doctor.check import Check, Found, Line
from pytest_modal.run.modal.doctor.retries import counted
from pytest_modal.run.modal.doctor.sent import new_app, new_image
from pytest_modal.run.modal.doctor.visit import PATIENCE, Options, Visit
from pytest_modal.run.modal.opening import opened
from pytest_modal.run.modal.plain_replies import read_as_bytes
from pytest_modal.run.modal.server_warnings import as_notes
from pytest_modal.run.modal.timeouts import within

_OPEN_LIMIT = 150.0  # seconds: an image is built
_CLOSE_LIMIT = 5.0
# The Function that each check calls. Those of a group share a container, so they run one after the other.
_GROUPS: dict[str, Sequence[Check]] = {
    "probe": (calls.CONTAINER, calls.PAYLOADS, logs.LOGS, before.STREAMS),
    "gpu": (calls.GPU_NAME,),
    "wait": (calls.STATS, deaths.CANCEL),
    "crash": (deaths.CRASH,),
    "memory": (deaths.MEMORY,),
    "timeout": (deaths.TIMEOUT,),
    "": (deaths.STOPPED,),  # it has an app of its own
}
_FIRST = (before.CONFIGURATION, before.CONNECTION)
_LAST = (throughout.SESSION, throughout.REQUESTS, throughout.WARNINGS)
# Without these there is nothing to check.
NEEDED = (*_FIRST, throughout.IMAGE)
CHECKS = (*NEEDED, *(check for group in _GROUPS.values() for check in group), *_LAST)


class Doctor:
    """One visit.

    Parameters
    ----------
    options : Options
        What is asked.
    show : callable
        Takes each line as soon as it is known, with the checks that are still open.
    """

    def __init__(self, options: Options, show: Callable[[Line, list[Check]], None]) -> None:
        self.visit = Visit(time.monotonic() + options.seconds)
        self.lines: list[Line] = []
        self._options = options
        self._show = show
        self._left_over: set[asyncio.Task[Any]] = set()

    @property
    def open(self) -> list[Check]:
        """The checks that are to be made and have no line yet."""
        done = {line.check.name for line in self.lines}
        return [check for check in CHECKS if check.name not in done and self._is_chosen(check)]

    def _is_chosen(self, check: Check) -> bool:
        names = self._options.names
        return not names or check in NEEDED or check.name in names

    async def run(self) -> None:
        """Make all checks. Those that could not be made get their line too."""
        why = "the visit was interrupted"
        try:
            with as_notes(self._warn):
                why = await self._visit()
        finally:
            for check in self.open:
                self._add(check, Found("skipped", why), 0.0)
            if self._left_over:
                await asyncio.wait(self._left_over, timeout=_CLOSE_LIMIT)

    def _warn(self, text: str) -> None:
        self.visit.warnings.append(text.removeprefix("Modal says: "))

    async def _visit(self) -> str:
        """Make the checks; return why there may be others left."""
        for check in _FIRST:
            await self._look(check)
            if self.visit.client is None and self.lines[-1].found.state != "ok":
                return f"nothing can be asked: see {check.name}"
        if not self._options.gpu and self._is_chosen(calls.GPU_NAME):
            self._add(calls.GPU_NAME, Found("skipped", "--no-gpu"), 0.0)
        try:
            with read_as_bytes(), counted(self.visit.again), _running(self.visit.pulse.watch(self.visit.client)):
                failed = await self._in_app()
                if failed:
                    await self._group((throughout.REQUESTS, throughout.WARNINGS))
                return failed or "the time was over"
        except errors.InfrastructureError as failure:  # the client is not known
            return failure.message

    async def _in_app(self) -> str:
        groups = {name: [check for check in group if check in self.open] for name, group in _GROUPS.items()}
        groups = {name: group for name, group in groups.items() if group}
        visit = self.visit
        visit.image, visit.describe_image = new_image()
        visit.app, visit.functions = new_app(visit.image, {"probe", *groups})
        began = time.monotonic()
        try:
            async with opened(visit.app, self._awaited, PATIENCE, lambda: _CLOSE_LIMIT):
                visit.opened_in = time.monotonic() - began
                with _running(visit.log.watch(visit.app)):
                    await asyncio.gather(self._group([throughout.IMAGE]), *map(self._group, groups.values()))
                    await self._group(_LAST)
        except Exception as error:
            if visit.opened_in:
                return "the visit could not go on"
            failure = await errors.of_session(error, visit.url, environment="the doctor")
            found = Found("differs", failure.message, failure.remedy, {"kind": failure.kind, "log": failure.log})
            self._add(throughout.IMAGE, found, time.monotonic() - began)
            return f"there is no session: see {throughout.IMAGE.name}"
        return ""

    async def _awaited(self, work: Awaitable[object]) -> None:
        try:
            await within(min(_OPEN_LIMIT, self._left), work)
        except TimeoutError:
            raise errors.InfrastructureError("timeout", "no session could be opened in time", "try again") from None

    @property
    def _left(self) -> float:
        return max(0.1, self.visit.ends_at - time.monotonic())

    async def _group(self, checks: Sequence[Check]) -> None:
        for check in checks:
            if check in self.open:
                await self._look(check)

    async def _look(self, check: Check) -> None:
        began, limit = time.monotonic(), min(check.seconds, self._left)
        task = asyncio.ensure_future(check.look(self.visit))
        try:
            await asyncio.wait([task], timeout=limit)
        finally:
            if not task.done():
                # Nobody waits for the client to handle that, but what has to be closed is closed.
                task.cancel()
                self._left_over.add(task)
                task.add_done_callback(_noted)
        if not task.done() or task.cancelled():
            found = Found("unknown", f"not found out within {limit:.0f} s")
        elif (error := task.exception()) is not None:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            found = Found("unknown", f"not found out: {text.removesuffix(':')}"[:300])
        else:
            found = task.result()
        self._add(check, found, time.monotonic() - began)

    def _add(self, check: Check, found: Found, seconds: float) -> None:
        line = Line(check, found, seconds)
        self.lines.append(line)
        self._show(line, self.open)


@contextlib.contextmanager
def _running(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Have something run in the background while the block runs."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_noted)
    try:
        yield
    finally:
        task.cancel()


def _noted(task: asyncio.Future[Any]) -> None:
    # Nobody else may look at the exception, and asyncio would log it as never retrieved.
    if not task.cancelled():
        task.exception()
