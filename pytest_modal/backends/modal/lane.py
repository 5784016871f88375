"""The calls of one environment on their way: what waits, what is out, how they are sent."""

from __future__ import annotations

import asyncio
import io
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_modal import data
from pytest_modal.backends.modal.app import Service
from pytest_modal.backends.modal.failures import InfrastructureError
from pytest_modal.batch import Call, Container, FromCall
from pytest_modal.dispatch import Dispatch
from pytest_modal.worker_process import read_message

CALLS_PER_CONTAINER = 16  # out at a time: enough to hide the way there and back
MOST_CALLS = 512
MOST_BYTES = 256 << 20  # of payloads that are out at a time
SMALL = 1024  # bytes: what is smaller goes along each time


@dataclass
class Lane:
    """One environment of a running session.

    Attributes
    ----------
    waiting : deque of Call
        In order; the first goes out as soon as what it depends on is done.
    out : dict
        Payload bytes of each call that is out.
    seen_at : float
        When anything was last heard of its containers, or the first call was sent; monotonic seconds.
    """

    service: Service
    waiting: deque[Call]
    out: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    seen_at: float = 0.0
    failure: InfrastructureError | None = None
    one_alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    handles: dict[str, Any] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def has_room(self) -> bool:
        """Whether another call may go out."""
        limit = min(MOST_CALLS, CALLS_PER_CONTAINER * self.service.environment.max_containers)
        return len(self.out) < limit and (not self.out or sum(self.out.values()) < MOST_BYTES)

    async def handle(self, lane: str = "") -> Any:
        """Return what takes calls; another `lane` has containers of its own."""
        async with self._opening:
            if lane not in self.handles:
                self.handles[lane] = self.service.instance(lane=lane).run
                # Otherwise each of the first calls would ask Modal for it.
                await self.handles[lane].hydrate.aio()
        return self.handles[lane]

    def sign_of_life(self) -> None:
        """Note that something was heard."""
        self.seen_at = time.monotonic()

    def payload(self, call: Call, dispatch: Dispatch, *, whole: bool, alone: bool) -> bytes:
        """Return the message that runs a call.

        Parameters
        ----------
        whole : bool
            Send everything. Otherwise what an earlier call has brought is left out: a container that lacks it
            says so.
        alone : bool
            The container ends after the call.
        """
        request = dispatch.request(call, () if whole else self.known)
        if not alone:
            self.known |= set(_heavy(call, dispatch.containers(call)))
        return b"".join(data.encode(request | {"alone": alone}, where="request"))


def _heavy(call: Call, containers: Sequence[Container]) -> Iterator[str]:
    for node in (call, *containers):
        if len(node.function.payload) > SMALL:
            yield node.function.key
    for container in containers:
        if container.payload_bytes > SMALL or container.references(FromCall):
            yield container.key


def read_reply(reply: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a reply apart: what became of the call, and its encoded result."""
    message = read_message(io.BytesIO(reply))
    if message is None:
        raise data.CorruptDataError("the reply was cut off")
    return message
