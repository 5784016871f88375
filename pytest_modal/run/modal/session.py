"""Sessions on Modal: opened, every environment kept busy, closed whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Event, Outcome, Progress
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.framing import Teardown
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal import errors, steps
from pytest_modal.run.modal.app import Service, build_app, named, pack_seconds
from pytest_modal.run.modal.app_log import Sightings, Sign, id_in, listen
from pytest_modal.run.modal.connecting import CONNECT_TIMEOUT, connected, usable_cache, watch, who_pays
from pytest_modal.run.modal.errors import InfrastructureError
from pytest_modal.run.modal.limits import Limits
from pytest_modal.run.modal.naps import Naps
from pytest_modal.run.modal.opening import opened
from pytest_modal.run.modal.pack_runner import Ended, PackRunner
from pytest_modal.run.modal.plain_replies import read_as_bytes
from pytest_modal.run.modal.printed_log import PrintedLog
from pytest_modal.run.modal.queues import EnvironmentQueue, SentPack
from pytest_modal.run.modal.timeouts import within
from pytest_modal.store.scratch import temporary_directory

CLOSE_TIMEOUT = 20.0  # seconds
SILENT_TIMEOUT = 1.0
POLL_INTERVAL = 1.0  # seconds
SCHEDULING = "waiting to be scheduled"  # in a line of Modal's own, while there is no GPU
APP_INTERVAL = 30.0  # seconds without news after which the app's state is looked at

Emit = Callable[[Sequence[tuple[Outcome, bytes]]], Coroutine[Any, Any, None]]


class Session:
    """One session.

    Parameters
    ----------
    emit : callable
        Takes outcomes, each with its value; returns when they are stored.
    progress : callable
        Called with each event to show.
    timings : Timings
        Those of earlier runs.
    limits : Limits
        What it shares with the other sessions of the run.
    of : str
        Which of them it is, where there are several: " of round 2".
    stream : bool
        Whether what functions print is shown too.
    """

    def __init__(
        self,
        batch: Batch,
        dispatch: Dispatch,
        rootdir: Path,
        options: SessionOptions,
        emit: Emit,
        progress: Callable[[Progress], None],
        timings: Timings,
        limits: Limits,
        *,
        of: str = "",
        stream: bool = False,
    ) -> None:
        self._batch = batch
        self._dispatch = dispatch
        self._rootdir = rootdir
        self._options = options
        self._emit = emit
        self._progress = progress
        self._timings = timings
        self._limits = limits
        self._of = of
        self._lives = limits.containers()
        self._steps = steps.Steps(of, progress)
        self._sightings = Sightings()
        self._news_at = 0.0
        self._printed = PrintedLog(self._sightings.signs) if stream else None
        self._queues: dict[str, EnvironmentQueue] = {}
        self._containers = {key: container.label for key, container in batch.containers.items()}
        self._reported: set[str] = set()
        self._failure: InfrastructureError | None = None
        self._naps = Naps()
        self._failed = asyncio.Event()
        self.app_id: str | None = None
        self.dashboard_url: str | None = None
        self.notes: list[str] = []
        self.teardowns: list[Teardown] = []

    async def run(self) -> None:
        """Run the whole batch; every call gets an outcome."""
        url = ""
        try:
            self._limits.check_estimate()
            self._steps.begin(steps.CONNECTING, "connecting", "to Modal")
            client, url = await connected()
            cache, payer = await asyncio.gather(usable_cache(self._options.cache_volume, self.notes.append), who_pays())
            self._options = replace(self._options, cache_volume=cache)
            if payer:
                self._progress(Progress("paid by", payer, stays=True))
            watching = asyncio.ensure_future(
                self._guarded(watch(client, url, self._options.connection_timeout, self._fail))
            )
            try:
                with read_as_bytes(), temporary_directory() as self._scratch:
                    await self._in_sessions(url)
            finally:
                watching.cancel()
        except Exception as error:
            self._failure = self._failure or await errors.of_session(error, url)
        failure = self._failure or InfrastructureError("unexpected", "the session ended early", "run pytest again")
        await self._finish(
            [(call, failure.outcome(call), b"") for call in self._batch.calls if call.key not in self._reported]
        )

    async def _in_sessions(self, url: str) -> None:
        """Run the batch in one session; in another, where it can't be opened for what some environments declare."""
        environments = named(self._batch.environments)
        try:
            await self._in_session(environments)
        except Exception as error:
            if self.app_id or len(environments) == 1 or not errors.may_be_of_one_environment(error):
                raise
            fallen = await self._fallen(environments, url)
            left = {name: each for name, each in environments.items() if name not in fallen}
            if left:
                await self._in_session(left)

    async def _fallen(self, environments: dict[str, Environment], url: str) -> set[str]:
        """Open a session for each environment alone; the calls of those for which it can't be opened have failed."""
        self._progress(Progress("starting again:", "looking for the environment that Modal refuses"))
        tried = [self._failure_of(name, environment, url) for name, environment in environments.items()]
        found = zip(environments, await asyncio.gather(*tried), strict=True)
        fallen = {name: failure for name, failure in found if failure is not None}
        for name, failure in fallen.items():
            calls = [call for call in self._batch.calls if call.environment.key == environments[name].key]
            await self._finish([(call, failure.outcome(call), b"") for call in calls])
        return set(fallen)

    async def _failure_of(self, name: str, environment: Environment, url: str) -> InfrastructureError | None:
        try:
            app, _ = self._app({name: environment})
            async with self._opened(app):
                return None
        except Exception as error:
            return await errors.of_session(error, url, environment=name)

    def _app(self, environments: dict[str, Environment]) -> tuple[Any, list[Service]]:
        mark = self._sightings.signs.mark
        return build_app(self._batch, environments, self._rootdir, self._options, Path(self._scratch), mark)

    def _opened(self, app: Any) -> contextlib.AbstractAsyncContextManager[None]:
        return opened(app, self._unless_failed, self._options.connection_timeout, lambda: self._grace)

    async def _in_session(self, environments: dict[str, Environment]) -> None:
        self._steps.begin(steps.IMAGES, f"starting a session{self._of},", "building images where they are new")
        app, services = self._app(environments)
        try:
            async with self._opened(app):
                self.app_id = app.app_id
                with contextlib.suppress(Exception):
                    self.dashboard_url = await within(CONNECT_TIMEOUT, app.get_dashboard_url.aio())
                where = f"{self.app_id}  {self.dashboard_url or ''}".rstrip()
                self._steps.begin(steps.WAITING, f"session{self._of}", where, stays=True)
                await self._work(app, services)
                self._steps.begin(steps.CLOSING)
        finally:
            self._steps.end()
            self._lives.all_ended()

    async def _work(self, app: Any, services: list[Service]) -> None:
        moved = asyncio.Event()
        # The longest first, so that none of them is left at the end; of what is not known, a new image may be built.
        for service in sorted(services, key=lambda each: -self._timings.lasts(self._batch, each.environment)):
            calls = [call for call in self._batch.calls if call.environment.key == service.environment.key]
            queue = EnvironmentQueue(service, deque(calls), moved, pack_seconds(self._options.facts))
            self._queues[service.name] = queue
            self._limits.add(queue, self._sightings)
        streams, torn_down = self._limits.streams, self.teardowns.extend
        pack_runner = PackRunner(
            app, self._dispatch, self._sightings, streams, self._options, self._naps, self._fail, torn_down
        )
        # The batch does not need the log: it goes on if reading it fails.
        beside = (
            listen(app, self._heard, POLL_INTERVAL),
            self._naps.watch(),
            self._guarded(self._watch_packs(pack_runner)),
        )
        background = [asyncio.ensure_future(each) for each in beside]
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not self._failure:
                for queue in self._queues.values():
                    while await self._finish(self._blocked(queue)):
                        pass
                    while self._limits.has_room(queue) and (pack := queue.next(self._can_run)) is not None:
                        task = asyncio.ensure_future(self._attend(pack_runner, queue, pack))
                        task.add_done_callback(lambda _: self._limits.freed())
                        tasks.add(task)
                if not tasks and not any(queue.waiting or queue.suspects for queue in self._queues.values()):
                    break
                await self._unless_failed(moved.wait())
                moved.clear()
                for task in [task for task in tasks if task.done()]:
                    tasks.discard(task)
                    task.result()
        finally:
            for task in [*background, *tasks]:
                task.cancel()
            await asyncio.wait([*background, *tasks], timeout=self._grace)

    def _can_run(self, call: Call) -> bool:
        return self._dispatch.is_ready(call) and self._dispatch.blocked(call) is None

    def _blocked(self, queue: EnvironmentQueue) -> list[Ended]:
        """Take the first calls in line that need not be sent, because what they need has failed."""
        found: list[Ended] = []
        for line in (queue.suspects, queue.waiting):
            while line:
                failure = queue.failure.outcome(line[0]) if queue.failure is not None else None
                outcome = failure or (self._dispatch.blocked(line[0]) if self._dispatch.is_ready(line[0]) else None)
                if outcome is None:
                    break
                found.append((line.popleft(), outcome, b""))
        return found

    async def _attend(self, pack_runner: PackRunner, queue: EnvironmentQueue, pack: SentPack) -> None:
        left: Sequence[Call] = ()
        try:
            returned = await pack_runner.run(queue, pack)
            left = returned.left
            queue.suspects.extend(returned.suspects)
            self._news_at = time.monotonic()
            if returned.head is not None:
                self._steps.end(steps.WAITING)
                self._lives.replied(queue.service.environment, returned.head)
            for name in self._sightings.containers.get(pack.id, ()) if self._sightings.fell(pack.id) else ():
                self._ended(name)
            if returned.head is not None and returned.head["ends"]:
                self._ended(returned.head["container"])
            await self._finish(returned.ended)
        finally:
            queue.back(pack, left)

    async def _finish(self, ended: Sequence[Ended]) -> bool:
        """Store outcomes; return whether there were any."""
        for call, outcome, _ in ended:
            self._reported.add(call.key)
            if self._printed is not None:
                for line in self._printed.rest(call.key, outcome):
                    self._show(call.key, line)
        if ended:
            # Even when cancelled, the outcomes are stored once.
            await asyncio.shield(self._emit([(outcome, value) for _, outcome, value in ended]))
        for call, outcome, _ in ended:
            self._dispatch.finished(call, outcome)
        return bool(ended)

    @property
    def _grace(self) -> float:
        # A server that no longer answers won't answer the disconnect either.
        silent = self._failure is not None and self._failure.kind == "connection"
        return SILENT_TIMEOUT if silent else CLOSE_TIMEOUT

    @property
    def events(self) -> list[Event]:
        """Its steps until now."""
        return self._steps.events

    def _fail(self, failure: InfrastructureError) -> None:
        self._failure = self._failure or failure
        self._failed.set()

    async def _unless_failed(self, work: Awaitable[object]) -> None:
        """Await `work`, unless the session fails meanwhile."""
        working, failed = asyncio.ensure_future(work), asyncio.ensure_future(self._failed.wait())
        try:
            await asyncio.wait([working, failed], return_when=asyncio.FIRST_COMPLETED)
            if self._failure and not working.done():
                raise self._failure
            working.result()
        finally:
            failed.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait([working], timeout=self._grace)

    # Watchers in the background.

    def _heard(self, entry: Any) -> None:
        self._news_at = time.monotonic()
        self._sightings.note_end(entry)
        if entry.source not in ("stdout", "stderr"):
            if (failure := errors.of_billing(entry.message)) is not None:
                self._fail(failure)
            if SCHEDULING in entry.message:
                self._scheduled(entry.message.strip())
        for sign in self._sightings.signs.found(entry.message):
            self._note(sign, id_in(entry, "ta-"))
        for key, line in self._printed.add(entry) if self._printed is not None else ():
            self._show(key, line)

    def _scheduled(self, line: str) -> None:
        for name, queue in self._queues.items():
            if f"`{name}." in line and queue.scheduling != line:
                queue.scheduling = line
                self._progress(Progress("Modal says:", line, stays=True))

    def _note(self, sign: Sign, container: str) -> None:
        queue = self._queues.get(sign.service)
        if queue is None:
            return
        queue.sign_of_life()
        self._sightings.note(sign)
        event = partial(Progress, container=container, where=sign.service)
        if sign.event in ("pack", "returned"):
            for pack in (pack for pack in queue.out if pack.id == sign.key):
                pack.seen_at = time.monotonic()
                if sign.event == "returned":
                    pack.returned_at = time.monotonic()
                    self._progress(event("", "", kind="idle"))
                else:
                    first = pack.calls[0]
                    self._progress(event("running", first.label, kind="call", key=first.key))
        elif sign.event == "ready":
            self._steps.end(steps.WAITING)
            self._lives.seen(queue.service.environment, sign.key, sign.age, sign.device)
            device = f" on {sign.device}" if sign.device else ""
            self._progress(event("container up:", f"{sign.service}{device}", kind="up"))
        elif sign.event == "ended":
            self._ended(sign.key, sign.age)
        elif sign.event == "load":
            label = self._containers.get(sign.rest.strip(), sign.rest)
            self._progress(event("loading", label, kind="load", key=sign.key))
        elif sign.event in ("call", "again"):
            label, again = self._dispatch.label(sign.key), sign.event == "again"
            what = "crashed, trying again:" if again else "running"
            self._progress(event(what, label, stays=again, kind="call", key=sign.key))

    def _ended(self, container: str, age: float | None = None) -> None:
        self._lives.ended(container, age)
        self._progress(Progress("", "", kind="down", container=container))

    def _show(self, key: str, line: str) -> None:
        self._progress(Progress("printed", self._dispatch.label(key), line))

    async def _guarded(self, watch: Coroutine[object, object, None]) -> None:
        # Without its watchers a session could wait forever.
        try:
            await watch
        except Exception as error:
            self._fail(await errors.of_session(error, "its server"))

    async def _watch_packs(self, pack_runner: PackRunner) -> None:
        self._news_at = time.monotonic()
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            now = time.monotonic()
            for queue in self._queues.values():
                if queue.out and not queue.failure:
                    if self._limits.are_used():
                        queue.sign_of_life()
                    await pack_runner.look_at(queue, now)
            if (failure := self._limits.reached()) is not None:
                self._fail(failure)
            if now - self._news_at > APP_INTERVAL:
                self._news_at = now
                if await pack_runner.is_stopped():
                    self._fail(errors.stopped(self._naps.longest))
