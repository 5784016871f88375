"""`pytest --modal`: the batch in one session on Modal, or each round of a gate in its own.

The sessions run in their own thread, so that the main thread can store results, show progress, and be
interrupted. Everything from that thread comes through one queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.outcomes import App, Event, Outcome, Progress
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.framing import Teardown
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal.limits import Limits
from pytest_modal.run.modal.network import Network, load_client
from pytest_modal.run.modal.server_warnings import as_notes
from pytest_modal.run.modal.session import CLOSE_TIMEOUT, Session
from pytest_modal.run.protocol import Result

__all__ = ["ModalBackend"]


@dataclass
class _Stored:
    """Outcomes that are to be stored, each with its value."""

    outcomes: Sequence[tuple[Outcome, bytes]]
    done: Future[None]


class ModalBackend:
    """Runs batches on Modal.

    Parameters
    ----------
    rootdir : Path
        The directory of the project, which the app is named after.
    timings : Timings
        Those of earlier runs.
    stream : bool
        Whether what functions print is reported while they run.
    """

    mode = "modal"

    def __init__(self, rootdir: Path, options: SessionOptions, timings: Timings, *, stream: bool = False) -> None:
        self._rootdir = rootdir
        self._options = options
        self._timings = timings
        self._stream = stream
        self._sessions: list[tuple[int | None, Session]] = []
        self._limits: Limits | None = None
        self._network = Network()  # made before the batch is planned, which sets up fixtures

    @property
    def apps(self) -> list[App]:
        """The apps, once there are any."""
        return [
            App(number, session.app_id, session.dashboard_url)
            for number, session in self._sessions
            if session.app_id is not None
        ]

    @property
    def notes(self) -> list[str]:
        """What users should know of the sessions afterwards."""
        return list(dict.fromkeys(note for _, session in self._sessions for note in session.notes))

    @property
    def teardowns(self) -> list[Teardown]:
        """What went wrong after the ``yield`` of container fixtures."""
        return [each for _, session in self._sessions for each in session.teardowns]

    @property
    def cost(self) -> Cost | None:
        """What their containers have cost, once there were some."""
        cost = self._limits.cost if self._limits else None
        return cost if cost and cost.containers else None

    @property
    def containers(self) -> Sequence[Used]:
        """Their containers."""
        return self._limits.cost.containers if self._limits else ()

    @property
    def events(self) -> list[Event]:
        """The steps of the sessions."""
        return [event for _, session in self._sessions for event in session.events]

    def describe(self) -> str:
        """Return where the batch will run."""
        return "on Modal"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls in their sessions, all at once; see `Backend.run`."""
        load_client()
        inbox: queue.SimpleQueue[_Stored | Progress | BaseException | None] = queue.SimpleQueue()

        async def emit(outcomes: Sequence[tuple[Outcome, bytes]]) -> None:
            stored = _Stored(outcomes, Future())
            inbox.put(stored)
            await asyncio.wrap_future(stored.done)

        self._limits = Limits(batch, self._options, self._timings)
        parts = batch.sessions
        for number, part in parts.items():
            of = "" if len(parts) == 1 else f" of round {(number or 0) + 1}"
            session = Session(
                part,
                Dispatch(part, results),
                self._rootdir,
                self._options,
                emit,
                inbox.put,
                self._timings,
                self._limits,
                of=of,
                stream=self._stream,
            )
            self._sessions.append((number, session))
        sessions = [session for _, session in self._sessions]
        thread = _SessionThread(sessions, inbox.put)
        told: set[Progress] = set()
        with self._network.as_before(), as_notes(sessions[0].notes.append):
            thread.start()
            try:
                while (event := inbox.get()) is not None:
                    if isinstance(event, BaseException):
                        raise event
                    if isinstance(event, Progress):
                        # Who pays, each session says.
                        if not event.stays or event not in told:
                            progress(event)
                        told.add(event)
                        continue
                    for outcome, value in event.outcomes:
                        yield outcome, [value]
                    # Its session may have failed and dropped the future meanwhile.
                    if event.done.set_running_or_notify_cancel():
                        event.done.set_result(None)
            finally:
                thread.stop()


class _SessionThread(threading.Thread):
    """The event loop of the sessions."""

    def __init__(self, sessions: Sequence[Session], put: Callable[[BaseException | None], None]) -> None:
        super().__init__(name="pytest-modal sessions", daemon=True)
        self._sessions, self._put = sessions, put
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._begun = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._work())

    async def _work(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        self._begun.set()
        error: BaseException | None = None
        tasks = [asyncio.ensure_future(session.run()) for session in self._sessions]
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            error = raised
            for task in tasks:
                task.cancel()
        finally:
            # Nobody has to wait for the end of the loop, which may take long.
            self._put(error)
            # Of those that are cancelled, the first that ends ends the gathering: the others still stop their apps.
            await asyncio.wait(tasks)

    def stop(self) -> None:
        """End the sessions that still run: the apps stop, their containers are cancelled."""
        self._begun.wait()
        if self.is_alive() and self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._main.cancel)
        self.join(2 * CLOSE_TIMEOUT)
