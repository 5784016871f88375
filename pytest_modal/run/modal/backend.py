"""`pytest --modal`: the batch in one session on Modal.

The session runs in its own thread, so that the main thread can store results, show progress, and be
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
from pytest_modal.batch.cost import Cost
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.framing import Teardown
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal.network import Network
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
        self._session: Session | None = None
        self._network = Network()  # made before the batch is planned, which sets up fixtures

    @property
    def app_id(self) -> str | None:
        """The id of the app, once there is one."""
        return self._session.app_id if self._session else None

    @property
    def dashboard_url(self) -> str | None:
        """The page of the app on the dashboard."""
        return self._session.dashboard_url if self._session else None

    @property
    def notes(self) -> list[str]:
        """What users should know of the session afterwards."""
        return self._session.notes if self._session else []

    @property
    def teardowns(self) -> list[Teardown]:
        """What went wrong after the ``yield`` of container fixtures."""
        return self._session.teardowns if self._session else []

    @property
    def cost(self) -> Cost | None:
        """What its containers have cost, once there were some."""
        cost = self._session.cost if self._session else None
        return cost if cost and cost.containers else None

    def describe(self) -> str:
        """Return where the batch will run."""
        return "on Modal"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls in one session; see `Backend.run`."""
        inbox: queue.SimpleQueue[_Stored | Progress | BaseException | None] = queue.SimpleQueue()

        async def emit(outcomes: Sequence[tuple[Outcome, bytes]]) -> None:
            stored = _Stored(outcomes, Future())
            inbox.put(stored)
            await asyncio.wrap_future(stored.done)

        dispatch = Dispatch(batch, results)
        session = self._session = Session(
            batch, dispatch, self._rootdir, self._options, emit, inbox.put, self._timings, stream=self._stream
        )
        thread = _SessionThread(session, inbox.put)
        with self._network.as_before(), as_notes(session.notes.append):
            thread.start()
            try:
                while (event := inbox.get()) is not None:
                    if isinstance(event, BaseException):
                        raise event
                    if isinstance(event, Progress):
                        progress(event)
                        continue
                    for outcome, value in event.outcomes:
                        yield outcome, [value]
                    # The session may have failed and dropped the future meanwhile.
                    if event.done.set_running_or_notify_cancel():
                        event.done.set_result(None)
            finally:
                thread.stop()


class _SessionThread(threading.Thread):
    """The event loop of a session."""

    def __init__(self, session: Session, put: Callable[[BaseException | None], None]) -> None:
        super().__init__(name="pytest-modal session", daemon=True)
        self._session, self._put = session, put
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
        try:
            await self._session.run()
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            error = raised
        finally:
            # Nobody has to wait for the end of the loop, which may take long.
            self._put(error)

    def stop(self) -> None:
        """End the session if it still runs: the app stops, its containers are cancelled."""
        self._begun.wait()
        if self.is_alive() and self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._main.cancel)
        self.join(2 * CLOSE_TIMEOUT)
