"""Signs of life of Modal, over and over as long as a visit lasts."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from pytest_modal.run.modal.timeouts import within

_INTERVAL = 0.5  # seconds
_ANSWER_LIMIT = 10.0


class Pulse:
    """Small requests, and what became of them.

    Attributes
    ----------
    times : list of float
        Seconds until each answer.
    failures : Counter
        How many had none, by what was raised.
    longest : float
        Seconds of the longest time without an answer.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.failures: Counter[str] = Counter()
        self.longest = 0.0
        self._failing_since: float | None = None

    async def watch(self, client: Any) -> None:
        """Ask, for ever."""
        while True:
            await self.ask(client)
            await asyncio.sleep(_INTERVAL)

    async def ask(self, client: Any) -> None:
        """Ask once."""
        began = time.monotonic()
        try:
            await within(_ANSWER_LIMIT, client.hello.aio())
        except Exception as error:
            self.failures[f"{type(error).__name__}: {error}".removesuffix(": ")[:100]] += 1
            self._failing_since = began if self._failing_since is None else self._failing_since
            self.longest = max(self.longest, time.monotonic() - self._failing_since)
        else:
            self.times.append(time.monotonic() - began)
            self._failing_since = None
