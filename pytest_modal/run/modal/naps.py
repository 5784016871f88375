"""Naps of this machine: while it sleeps, no heartbeat reaches Modal, which then stops the app as lost."""

from __future__ import annotations

import asyncio
import time

_INTERVAL = 1.0  # seconds
_SHORTEST = 5.0  # seconds: what a busy machine may be late


class Naps:
    """Notices that this process did not run for a while.

    Attributes
    ----------
    longest : float
        Seconds of the longest time; 0 if there was none.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Watch the clock, for ever."""
        before = time.time()  # the other clocks may stand still while a machine sleeps
        while True:
            await asyncio.sleep(_INTERVAL)
            late = time.time() - before - _INTERVAL
            if late > _SHORTEST:
                self.longest = max(self.longest, late)
            before = time.time()
