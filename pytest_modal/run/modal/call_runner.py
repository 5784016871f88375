"""Runs of one call on Modal: it is sent, awaited, tried again where that can help, and its end explained."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_modal.batch.calls import Call
from pytest_modal.batch.outcomes import Outcome, Status
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.framing import Missing, Reply
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal import errors
from pytest_modal.run.modal.app_log import Phases, last_output
from pytest_modal.run.modal.entry import another_python
from pytest_modal.run.modal.errors import InfrastructureError, crash_message, of_session, stopped
from pytest_modal.run.modal.queues import EnvironmentQueue, read_reply
from pytest_modal.run.modal.timeouts import within

MAX_CRASHES_BEFORE_START = 3  # of the container of a call that has not begun
INTERNAL_FAILURES = 3
LOG_TIMEOUT = 10.0  # seconds for the last output of a failed call to arrive
RETRY_DELAY = 0.5


@dataclass
class _Try:
    """One attempt to run a call.

    Attributes
    ----------
    error : BaseException or None
        What the client raised, when there is no reply.
    call : modal.FunctionCall or None
        The call on Modal.
    """

    reply: Reply | Missing | None = None
    value: bytes = b""
    error: BaseException | None = None
    call: Any = None


class CallRunner:
    """Runs calls of a session.

    Parameters
    ----------
    app : modal.App
        The running app.
    fail : callable
        Called when the session can't go on.
    """

    def __init__(
        self,
        app: Any,
        dispatch: Dispatch,
        phases: Phases,
        options: SessionOptions,
        fail: Callable[[InfrastructureError], None],
    ) -> None:
        self._app = app
        self._dispatch = dispatch
        self._phases = phases
        self._options = options
        self._fail = fail
        self._calls: dict[str, Any] = {}

    async def run(self, queue: EnvironmentQueue, call: Call) -> tuple[Outcome, bytes]:
        """Return the outcome of a call, whatever it is, and its encoded result."""
        attempts = falls = internal = 0
        whole = False
        while True:
            if blocked := self._blocked(queue, call):
                return blocked, b""
            tried = await self._try(queue, call, whole=whole, alone=False)
            if tried.reply is not None and tried.reply["status"] == "missing":
                if whole:
                    raise RuntimeError(f"the container of {call.label} requests what it was sent")
                # It reached another container than the one that has its functions and data: everything is sent.
                whole = True
                continue
            begun = tried.reply is not None or self._phases.of(call.key) is not None
            attempts += begun
            if tried.reply is not None:
                outcome = self._dispatch.outcome(call, tried.reply)
                outcome.attempts = attempts
                queue.loaded(outcome)
                again = outcome.status == "raised" and not outcome.container_key
                if again and attempts <= call.environment.retries:
                    continue
                await self._supplement(outcome, tried)
                return outcome, tried.value
            if tried.error is not None and (message := another_python(tried.error)):
                queue.failure = errors.another_python(message)
                continue
            match await self._classify(tried.error):
                case InfrastructureError() as failure if failure.kind == "internal" and internal < INTERNAL_FAILURES:
                    internal += 1
                    await asyncio.sleep(RETRY_DELAY)
                case InfrastructureError() as failure:
                    return await self._infrastructure(queue, call, failure, tried), b""
                case "timed out":
                    return await self._fallen(call, tried, "timed out", max(1, attempts)), b""
                case _:
                    queue.crashed()
                    falls += 1
                    if not begun and await self._has_begun(call, tried):
                        begun, attempts = True, attempts + 1
                    if begun or falls >= MAX_CRASHES_BEFORE_START:
                        return await self._alone(queue, call, attempts)
                    # This call had not begun: it waits until the one that had is tried alone.
                    async with queue.one_alone:
                        pass

    async def _alone(self, queue: EnvironmentQueue, call: Call, attempts: int) -> tuple[Outcome, bytes]:
        """Try a call in its own container after a crash, to find out whether this call or another caused it."""
        async with queue.one_alone:
            if blocked := self._blocked(queue, call):
                return blocked, b""
            tried = await self._try(queue, call, whole=True, alone=True)
            if tried.reply is not None and tried.reply["status"] != "missing":
                outcome = self._dispatch.outcome(call, tried.reply)
                outcome.attempts = attempts + 1
                await self._supplement(outcome, tried)
                return outcome, tried.value
            verdict = await self._classify(tried.error)
            if isinstance(verdict, InfrastructureError):
                return await self._infrastructure(queue, call, verdict, tried), b""
            return await self._fallen(call, tried, verdict, attempts + 1), b""

    async def _has_begun(self, call: Call, tried: _Try) -> bool:
        """Ask the log of a call that fell whether it had begun: what is heard meanwhile may come late."""
        if tried.call is not None:
            with contextlib.suppress(Exception):
                await within(LOG_TIMEOUT, last_output(tried.call, self._phases))
        return self._phases.of(call.key) is not None

    def _blocked(self, queue: EnvironmentQueue, call: Call) -> Outcome | None:
        if queue.failure is not None:
            return queue.failure.outcome(call)
        return self._dispatch.blocked(call)

    async def _try(self, queue: EnvironmentQueue, call: Call, *, whole: bool, alone: bool) -> _Try:
        payload = queue.payload(call, self._dispatch, whole=whole, alone=alone)
        queue.out[call.key] = len(payload)
        self._phases.seen.pop(call.key, None)
        tried = _Try()
        try:
            handle = await _patiently(lambda: queue.handle(call.key if alone else ""))
            tried.call = self._calls[call.key] = await _patiently(lambda: handle.spawn.aio(payload))
            queue.sent(call)
            reply = await _patiently(tried.call.get.aio)
            tried.reply, tried.value = read_reply(reply)
            queue.sign_of_life()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a container can raise anything
            tried.error = error
        finally:
            self._calls.pop(call.key, None)
        return tried

    async def _classify(self, error: BaseException | None) -> InfrastructureError | Status:
        """Return what the lack of a reply means: a fault of the session, or of the call."""
        import modal

        if isinstance(error, modal.exception.FunctionTimeoutError):
            return "timed out"
        if isinstance(error, modal.exception.InternalFailure):
            return InfrastructureError(
                "internal", f"Modal failed to run the call: {error}", "run pytest again; see https://status.modal.com"
            )
        if await self._is_stopped():
            return stopped()
        if isinstance(error, modal.exception.RemoteError | modal.exception.ExecutionError):
            return "crashed"
        if isinstance(error, modal.exception.Error):
            return await of_session(error, "its server")
        # The container itself raised, for example at its start.
        return "crashed"

    async def _is_stopped(self) -> bool:
        import modal

        try:
            info = await within(LOG_TIMEOUT, self._app.info.aio(refresh=True))
        except Exception:
            return False
        return info.lifecycle.state in (modal.types.AppState.STOPPED, modal.types.AppState.STOPPING)

    async def _infrastructure(
        self, queue: EnvironmentQueue, call: Call, failure: InfrastructureError, tried: _Try
    ) -> Outcome:
        if queue.failure is None:
            self._fail(failure)
        outcome = (queue.failure or failure).outcome(call)
        await self._supplement(outcome, tried)
        return outcome

    async def _fallen(self, call: Call, tried: _Try, status: Status, attempts: int) -> Outcome:
        outcome = Outcome(call.key, status, attempts=attempts)
        await self._supplement(outcome, tried)
        phase, key = self._phases.of(call.key) or ("start", "")
        if phase == "load":
            outcome.container_key = key
            phase = f"load {self._dispatch.labels(call).get(key, '')}"
        outcome.phase = phase
        outcome.container = next(reversed(self._phases.containers.get(call.key, [])), "")
        if status == "timed out":
            limit = self._options.startup_timeout if phase == "start" else call.environment.timeout
            outcome.seconds, outcome.error = limit, {"limit": limit}
        else:
            outcome.error = {"message": crash_message(tried.error or RuntimeError())}
        return outcome

    async def _supplement(self, outcome: Outcome, tried: _Try) -> None:
        """Add the last output of a call that failed, also from outside of Python's streams."""
        if outcome.ok or outcome.status == "not data" or tried.call is None:
            return
        with contextlib.suppress(Exception):
            printed = await within(LOG_TIMEOUT, last_output(tried.call, self._phases))
            outcome.stdout = max(outcome.stdout, printed["stdout"], key=len)
            outcome.stderr = max(outcome.stderr, printed["stderr"], key=len)

    async def has_containers(self, queue: EnvironmentQueue) -> bool:
        """Whether an environment has a container on Modal, even one that is just starting."""
        for handle in queue.handles.values():
            with contextlib.suppress(Exception):
                stats = await within(LOG_TIMEOUT, handle.get_current_stats.aio())
                if stats.num_total_runners:
                    return True
        return False

    async def abandon(self, queue: EnvironmentQueue) -> None:
        """Cancel the calls of an environment that were sent: it has no container to run them."""
        for key in list(queue.out):
            if (call := self._calls.get(key)) is not None:
                with contextlib.suppress(Exception):
                    await within(LOG_TIMEOUT, call.cancel.aio())


async def _patiently(action: Callable[[], Any]) -> Any:
    """Retry while the network fails; `_watch_connection` decides when it is lost."""
    import modal
    from grpclib.exceptions import StreamTerminatedError

    network = (modal.exception.ConnectionError, modal.exception.ServiceError, StreamTerminatedError, OSError)
    while True:
        try:
            return await action()
        except network:
            await asyncio.sleep(RETRY_DELAY)
