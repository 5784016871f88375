"""Requests to Modal, few at a time.

All requests of a session share one connection with the heartbeats of its app, and a connection carries about a hundred.
If results that are waited for take them all, the heartbeats wait too, and Modal stops the app as lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

MOST_POLLS = 16  # results that are waited for at a time
MOST_REQUESTS = 8  # others
LONG_POLL = 10.0  # seconds
SHORT_POLL = 1.0  # while more results are wanted than can be waited for: in turn
RETRY_DELAY = 0.5

T = TypeVar("T")


class Streams:
    """The requests of one session. They are sent again while the network fails; others decide when it is lost."""

    def __init__(self) -> None:
        self._polls = asyncio.Semaphore(MOST_POLLS)
        self._requests = asyncio.Semaphore(MOST_REQUESTS)
        self._wanted = 0

    async def request(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a request."""
        while True:
            try:
                async with self._requests:
                    return await action()
            except _network_errors():
                await asyncio.sleep(RETRY_DELAY)

    async def result(self, call: Any) -> Any:
        """Return the result of a call on Modal; raise what the client raises for it."""
        self._wanted += 1
        try:
            while True:
                began = time.monotonic()
                try:
                    async with self._polls:
                        began = time.monotonic()
                        return await call.get.aio(timeout=SHORT_POLL if self._wanted > MOST_POLLS else LONG_POLL)
                except _network_errors():  # that there is no result yet is one of them: a TimeoutError
                    if time.monotonic() - began < SHORT_POLL / 2:
                        await asyncio.sleep(RETRY_DELAY)
        finally:
            self._wanted -= 1


def _network_errors() -> tuple[type[BaseException], ...]:
    import modal
    from grpclib.exceptions import StreamTerminatedError

    return modal.exception.ConnectionError, modal.exception.ServiceError, StreamTerminatedError, OSError
