"""Runs of one pack of calls on Modal: it is sent, awaited, and what came of each call said, whatever it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_modal.batch.calls import Call
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.declare.facts import Facts
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.data import CorruptDataError
from pytest_modal.remote.framing import PackReply, Teardown
from pytest_modal.run.dispatch import Dispatch, is_missing, unreadable_reply
from pytest_modal.run.modal import errors
from pytest_modal.run.modal.app import pack_seconds, pack_timeout
from pytest_modal.run.modal.app_log import Sightings, last_output
from pytest_modal.run.modal.entry import another_python
from pytest_modal.run.modal.errors import InfrastructureError, crash_message, of_billing, of_session, stopped
from pytest_modal.run.modal.naps import Naps
from pytest_modal.run.modal.opening import has_ended
from pytest_modal.run.modal.queues import EnvironmentQueue, SentPack, read_reply
from pytest_modal.run.modal.streams import RETRY_DELAY, Streams
from pytest_modal.run.modal.timeouts import within

MAX_FALLS = 3  # of containers of an environment, one after the other and without a reply
INTERNAL_FAILURES = 3
LOG_TIMEOUT = 10.0  # seconds for an answer that the batch can do without
MOST_ON_THE_WAY = 4  # times what results usually take from a container's report: they are lost then
SLACK = 120.0  # seconds beyond all limits after which a pack is given up

Ended = tuple[Call, Outcome, bytes]


class ContainerDiedError(Exception):
    """The log shows that a container has ended under a pack, or that its results got lost."""


@dataclass
class Returned:
    """What came of a pack.

    Attributes
    ----------
    ended : list
        Calls with their outcomes and encoded results.
    left : list of Call
        Those that are to be sent again.
    suspects : list of Call
        Those whose container has ended.
    head : PackReply or None
        What its container says of itself; None where there was no reply.
    """

    ended: list[Ended] = field(default_factory=list)
    left: list[Call] = field(default_factory=list)
    suspects: list[Call] = field(default_factory=list)
    head: PackReply | None = None


class PackRunner:
    """Runs packs of a session.

    Parameters
    ----------
    app : modal.App
        The running app.
    fail : callable
        Called when the session can't go on.
    torn_down : callable
        Takes what went wrong after the ``yield`` of container fixtures.
    """

    def __init__(
        self,
        app: Any,
        dispatch: Dispatch,
        sightings: Sightings,
        streams: Streams,
        options: SessionOptions,
        naps: Naps,
        fail: Callable[[InfrastructureError], None],
        torn_down: Callable[[Iterable[Teardown]], None],
    ) -> None:
        self._app = app
        self._dispatch = dispatch
        self._sightings = sightings
        self._streams = streams
        self._options = options
        self._naps = naps
        self._fail = fail
        self._torn_down = torn_down
        self._cancelling: set[asyncio.Task[None]] = set()

    async def run(self, queue: EnvironmentQueue, pack: SentPack) -> Returned:
        """Send a pack, and return what came of it."""
        internal = 0
        while True:
            try:
                reply = await self._reply(queue, pack)
                head, replies = read_reply(reply, pack)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # a container can raise anything
                if message := another_python(error):
                    queue.failure = errors.another_python(message)
                    return Returned(left=pack.calls)
                if isinstance(error, CorruptDataError):
                    return Returned([(call, unreadable_reply(call, str(error)), b"") for call in pack.calls])
                match await self._classify(pack, error):
                    case InfrastructureError() as failure if failure.kind == "internal":
                        internal += 1
                        if internal < INTERNAL_FAILURES:
                            await asyncio.sleep(RETRY_DELAY)
                            continue
                        self._fail(failure)
                        return self._without_reply(pack, failure)
                    case InfrastructureError() as failure:
                        if failure is not queue.failure and failure is not pack.verdict:
                            self._fail(failure)
                        return self._without_reply(pack, failure)
                    case "timed out":
                        return self._not_started(pack)
                    case _:
                        return await self._fallen(queue, pack, error)
            return self._returned(queue, pack, head, replies)

    async def _reply(self, queue: EnvironmentQueue, pack: SentPack) -> Any:
        payload = queue.payload(pack, self._dispatch)
        handle = await self._streams.request(queue.handle)
        pack.call = await self._streams.request(lambda: handle.spawn.aio(payload))
        queue.sent(pack)
        result = asyncio.ensure_future(self._streams.result(pack.call))
        decided = asyncio.ensure_future(pack.decided.wait())
        try:
            await asyncio.wait([result, decided], return_when=asyncio.FIRST_COMPLETED)
            if pack.verdict is not None and not result.done():
                # Modal would run it again in another container.
                self.cancel(pack)
                raise pack.verdict
            return result.result()
        finally:
            for task in (result, decided):
                task.cancel()

    def cancel(self, pack: SentPack) -> None:
        """Have Modal forget a pack; nobody waits for that."""

        async def cancelled() -> None:
            with contextlib.suppress(Exception):
                await within(LOG_TIMEOUT, self._streams.request(pack.call.cancel.aio))

        task = asyncio.ensure_future(cancelled())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    def _returned(
        self,
        queue: EnvironmentQueue,
        pack: SentPack,
        head: PackReply,
        replies: Sequence[tuple[Any, bytes]],
    ) -> Returned:
        queue.sign_of_life()
        queue.falls = 0
        self._torn_down(head["teardowns"])
        returned = Returned(head=head)
        open_calls = {call.key: call for call in pack.calls}
        measured: dict[str, tuple[Call, float]] = {}
        for key, spent, (reply, value) in zip(head["keys"], head["spent"], replies, strict=True):
            call = open_calls[key]
            if key not in queue.whole and is_missing(reply):
                # It reached a container that lacks what earlier calls have brought: everything is sent.
                queue.whole.add(key)
                queue.crashed()
                continue
            del open_calls[key]
            outcome = self._dispatch.outcome(call, reply)
            self._tried(queue, outcome)
            queue.loaded(outcome)
            measured[key] = call, spent
            returned.ended.append((call, outcome, value))
        queue.measured([call for call, _ in measured.values()], [spent for _, spent in measured.values()])
        returned.left = [*open_calls.values()]
        if pack.alone:
            returned.left, returned.suspects = [], returned.left
        return returned

    def _tried(self, queue: EnvironmentQueue, outcome: Outcome) -> None:
        fallen = queue.fallen.pop(outcome.key, [])
        outcome.attempts += len(fallen)
        outcome.fallen = tuple(container for container in fallen if container and container != outcome.container)

    async def _fallen(self, queue: EnvironmentQueue, pack: SentPack, error: BaseException) -> Returned:
        """Have the calls of a container that has ended tried again, each alone; a second time it was this one."""
        queue.crashed()
        containers = self._sightings.containers.get(pack.id, [])
        if not pack.alone:
            for call in pack.calls:
                queue.fallen[call.key].append(containers[-1] if containers else "")
            return Returned(suspects=pack.calls)
        queue.falls += 1
        (call,) = pack.calls
        facts = self._options.facts
        phase, key = self._sightings.phases.get(call.key, ("call" if containers else "start", ""))
        status = next((self._sightings.exits[each] for each in containers if each in self._sightings.exits), None)
        outcome = Outcome(call.key, "crashed", phase=phase, error={"message": crash_message(error, status, facts)})
        if phase == "load":
            outcome.container_key = key
            outcome.phase = f"load {self._dispatch.labels(call).get(key, '')}"
        outcome.container = containers[-1] if containers else ""
        self._tried(queue, outcome)
        with contextlib.suppress(Exception):
            await asyncio.sleep(facts.log_delay_seconds)
            printed = await within(LOG_TIMEOUT, last_output(pack.call, self._sightings.signs))
            outcome.stdout, outcome.stderr = printed["stdout"], printed["stderr"]
        if queue.falls >= MAX_FALLS and queue.failure is None:
            queue.failure = errors.no_container(queue.service.name, str(outcome.error and outcome.error["message"]))
        return Returned([(call, outcome, b"")])

    def _not_started(self, pack: SentPack) -> Returned:
        limit = self._options.startup_timeout
        outcomes = [
            Outcome(call.key, "timed out", seconds=limit, phase="start", error={"limit": limit}) for call in pack.calls
        ]
        return Returned([(call, outcome, b"") for call, outcome in zip(pack.calls, outcomes, strict=True)])

    def _without_reply(self, pack: SentPack, failure: InfrastructureError) -> Returned:
        return Returned([(call, failure.outcome(call), b"") for call in pack.calls])

    async def _classify(
        self, pack: SentPack, error: BaseException
    ) -> InfrastructureError | Literal["timed out", "crashed"]:
        """Return what the lack of a reply means."""
        import modal

        if isinstance(error, InfrastructureError):
            return error
        if isinstance(error, ContainerDiedError):
            return "crashed"
        if isinstance(error, modal.exception.FunctionTimeoutError):
            # The limits of calls are held in the container: Modal's is that of its start, unless a report was seen.
            return "crashed" if self._sightings.has_begun(pack.id) else "timed out"
        if isinstance(error, modal.exception.InternalFailure):
            return InfrastructureError(
                "internal", f"Modal failed to run the call: {error}", "run pytest again; see https://status.modal.com"
            )
        if isinstance(error, modal.exception.Error) and (failure := of_billing(str(error))) is not None:
            return failure
        if await self.is_stopped():
            return stopped(self._naps.longest)
        if isinstance(error, modal.exception.RemoteError | modal.exception.ExecutionError):
            return "crashed"
        if isinstance(error, modal.exception.Error):
            return await of_session(error, "its server")
        # The container itself raised, for example at its start.
        return "crashed"

    async def is_stopped(self) -> bool:
        """Whether the app has ended."""
        try:
            info = await within(LOG_TIMEOUT, self._streams.request(lambda: self._app.info.aio(refresh=True)))
        except Exception:
            return False
        return has_ended(info)

    async def look_at(self, queue: EnvironmentQueue, now: float) -> None:
        """Give up what waits for a container that doesn't come, or has not reported for too long."""
        environment = queue.service.environment
        longest = self._options.acquire_timeout + self._options.startup_timeout + SLACK
        # It may wait behind another pack.
        work = pack_seconds(self._options.facts)
        longest += 2 * (pack_timeout(environment, work) + work)
        on_the_way = MOST_ON_THE_WAY * max(self._options.facts.result_delay_seconds, Facts.result_delay_seconds)
        for pack in queue.out:
            is_lost = pack.returned_at is not None and now - pack.returned_at > on_the_way
            if self._sightings.fell(pack.id) or (is_lost and not pack.alone):
                pack.give_up(ContainerDiedError())
            elif is_lost or now - pack.seen_at > longest:
                pack.give_up(errors.no_answer(queue.service.name, now - pack.seen_at))
        silent = now - queue.seen_at
        begun = any(self._sightings.has_begun(pack.id) for pack in queue.out)
        if silent > self._options.acquire_timeout and not begun and not await self._has_containers(queue):
            queue.failure = errors.no_gpu(str(environment).partition(";")[0], silent, queue.scheduling)
            for pack in queue.out:
                pack.give_up(queue.failure)
            queue.moved.set()

    async def _has_containers(self, queue: EnvironmentQueue) -> bool:
        """Whether an environment has a container on Modal, even one that is just starting; or may have."""
        try:
            handle = await within(LOG_TIMEOUT, self._streams.request(queue.handle))
            stats = await within(LOG_TIMEOUT, self._streams.request(handle.get_current_stats.aio))
        except Exception:
            return True
        # Where those that wait for a GPU are counted too, only what Modal says of them tells the two apart.
        waits = self._options.facts.runners_count_queued and bool(queue.scheduling)
        return bool(stats.num_total_runners) and not waits
