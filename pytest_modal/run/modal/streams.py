"""Requests to Modal, few at a time.

All requests of a run share one connection with the heartbeats of its apps, and a connection carries about a hundred.
If results that are waited for take them all, the heartbeats wait too, and Modal stops the apps as lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pytest_modal.declare.facts import Facts

MOST_POLLS = 16  # results that are waited for at a time
MOST_REQUESTS = 8  # others
OPEN_AT_A_TIME = 32  # with the heartbeats, the log, and what watches the session
LONG_POLL = 10.0  # seconds
SHORT_POLL = 1.0  # while more results are wanted than can be waited for: in turn
RETRY_DELAY = 0.5

T = TypeVar("T")


class Streams:
    """The requests of all sessions of a run. They are sent again while the network or Modal fails.

    Parameters
    ----------
    patience : float
        Seconds that Modal may fail for. When the network is lost, others decide.
    streams : int
        How many requests the connection carries.
    """

    def __init__(self, patience: float, streams: int = Facts.streams) -> None:
        self._patience = patience
        self._most_polls = min(MOST_POLLS, streams // 2)
        self._polls = asyncio.Semaphore(self._most_polls)
        self._requests = asyncio.Semaphore(min(MOST_REQUESTS, streams // 4))
        self._wanted = 0

    async def request(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a request."""
        failing = Failing(self._patience)
        while True:
            try:
                async with self._requests:
                    return await action()
            except Exception as error:
                if not failing.may_pass(error):
                    raise
                await asyncio.sleep(RETRY_DELAY)

    async def result(self, call: Any) -> Any:
        """Return the result of a call on Modal; raise what the client raises for it."""
        self._wanted += 1
        failing = Failing(self._patience)
        try:
            while True:
                began = time.monotonic()
                try:
                    async with self._polls:
                        began = time.monotonic()
                        return await call.get.aio(timeout=SHORT_POLL if self._wanted > self._most_polls else LONG_POLL)
                except Exception as error:  # that there is no result yet is one that passes: a TimeoutError
                    if not failing.may_pass(error):
                        raise
                    if time.monotonic() - began < SHORT_POLL / 2:
                        await asyncio.sleep(RETRY_DELAY)
        finally:
            self._wanted -= 1


class Failing:
    """Tells of errors one after the other whether they may pass.

    Parameters
    ----------
    patience : float
        Seconds that Modal may fail for, without anything else in between.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since = 0.0

    def may_pass(self, error: Exception) -> bool:
        """Whether it is worth trying again: for a while where Modal fails, and always where the network does."""
        import modal
        from grpclib.exceptions import StreamTerminatedError

        if isinstance(error, modal.exception.InternalError):
            self._since = self._since or time.monotonic()
            return time.monotonic() - self._since < self._patience
        self._since = 0.0
        network = (modal.exception.ConnectionError, modal.exception.ServiceError, StreamTerminatedError, OSError)
        return isinstance(error, network)
