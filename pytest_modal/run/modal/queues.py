"""The calls of one environment: which wait, which were sent, what each is sent with."""

from __future__ import annotations

import asyncio
import io
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pytest_modal.batch.calls import Call, Container, FromCall
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote import data
from pytest_modal.remote.framing import Missing, Reply, read_message
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal.app import Service
from pytest_modal.run.modal.errors import InfrastructureError

CALLS_PER_CONTAINER = 16  # sent at a time: enough to hide the round trip
MOST_CALLS = 512
MOST_BYTES = 256 << 20  # of payloads that are sent at a time
SMALL = 4096  # bytes: what is smaller is sent with each call


@dataclass
class EnvironmentQueue:
    """One environment of a running session.

    Attributes
    ----------
    waiting : deque of Call
        In order; the first is sent as soon as what it depends on is done.
    moved : asyncio.Event
        Set when a call has reached Modal's queue.
    out : dict
        Payload bytes of each call that was sent and has no outcome.
    sending : set of str
        Calls that have not reached the queue yet. They can overtake each other, so they must be independent.
    known : set
        Functions and container fixtures that every container has, as far as can be known.
    seen_at : float
        When one of its containers last reported, or the first call was sent; monotonic seconds.
    """

    service: Service
    waiting: deque[Call]
    moved: asyncio.Event
    sending: set[str] = field(default_factory=set)
    out: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    seen_at: float = 0.0
    failure: InfrastructureError | None = None
    one_alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    handles: dict[str, Any] = field(default_factory=dict)
    _in_order: set[str] = field(default_factory=set)
    _turn: str = ""
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _holders: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        # The first call that uses a container fixture brings it, the last one has it released.
        calls = list(self.waiting)
        last_users = {key: call.key for call in calls for key in call.containers}
        starts = {after.key for before, after in pairwise(calls) if before.containers != after.containers}
        self._in_order = starts | set(last_users.values()) | {call.key for call in calls[:1] if call.containers}

    def next(self, done: Callable[[Call], bool]) -> Call | None:
        """Take the first call in line, if it may be sent.

        It waits for what it needs, and the others wait behind it: in this order each model is built once. The first
        unfinished call of the whole batch never waits for another, so there is no deadlock.

        Parameters
        ----------
        done : callable
            Whether all that a call depends on has its outcome.
        """
        if not self.waiting or not self.has_room or self.one_alone.locked():
            return None
        first = self.waiting[0]
        if self.sending and (first.key in self._in_order or self._turn in self.sending):
            return None
        if not done(first):
            return None
        self._turn = first.key if first.key in self._in_order else ""
        # The time without a GPU counts from the first call on, not from the start of the machine.
        self.seen_at = self.seen_at or time.monotonic()
        self.out[first.key] = first.payload_bytes
        self.sending.add(first.key)
        return self.waiting.popleft()

    def sent(self, call: Call) -> None:
        """Note that a call has reached the queue, or won't."""
        self.sending.discard(call.key)
        self.moved.set()

    @property
    def has_room(self) -> bool:
        """Whether another call may be sent."""
        limit = min(MOST_CALLS, CALLS_PER_CONTAINER * self.service.environment.max_containers)
        return len(self.out) < limit and (not self.out or sum(self.out.values()) < MOST_BYTES)

    async def handle(self, isolation: str = "") -> Any:
        """Return the handle that takes calls; another `isolation` has its own containers."""
        async with self._opening:
            if isolation not in self.handles:
                self.handles[isolation] = self.service.instance(isolation=isolation).run
                # Otherwise each of the first calls would look it up on Modal.
                await self.handles[isolation].hydrate.aio()
        return self.handles[isolation]

    def sign_of_life(self) -> None:
        """Note that a container has reported, or a call was sent."""
        self.seen_at = time.monotonic()

    def payload(self, call: Call, dispatch: Dispatch, *, whole: bool, alone: bool) -> bytes:
        """Return the message that runs a call.

        Parameters
        ----------
        whole : bool
            Send everything. Otherwise what an earlier call has brought is left out, and a container that lacks it
            requests it.
        alone : bool
            The container ends after the call.
        """
        request = dispatch.request(call, () if whole else self.known)
        if not alone and self.service.environment.max_containers == 1:
            # Calls arrive in order at the only container: those behind this one can rely on it.
            self.known |= set(_heavy(call, dispatch.containers(call)))
        return b"".join(data.encode(request | {"alone": alone}, where="request"))

    def loaded(self, outcome: Outcome) -> None:
        """Note which container has built which fixtures; a fixture that all have is known."""
        for load in outcome.loads:
            self._holders[load.key].add(load.container)
            if len(self._holders[load.key]) == self.service.environment.max_containers:
                self.known.add(load.key)

    def crashed(self) -> None:
        """Forget what containers have: a new one has nothing."""
        self.known.clear()
        self._holders.clear()


def _heavy(call: Call, containers: Sequence[Container]) -> Iterator[str]:
    for node in (call, *containers):
        if len(node.function.payload) > SMALL:
            yield node.function.key
        yield from (text.key for text in node.modules if len(text.payload) > SMALL)
    for container in containers:
        if container.payload_bytes > SMALL or container.references(FromCall):
            yield container.key


def read_reply(reply: bytes) -> tuple[Reply | Missing, bytes]:
    """Return the parts of a reply: the outcome of the call, and its encoded result."""
    message = read_message(io.BytesIO(reply))
    if message is None:
        raise data.CorruptDataError("the reply is truncated")
    return message
