"""The memory limit of a container: what its processes hold together is looked at, and too much kills it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

LOOK_INTERVAL = 0.05  # seconds
PAGE = os.sysconf("SC_PAGE_SIZE")


async def until_exceeded(pid: int, mebibytes: int) -> None:
    """Return when a process and those below it hold more than so much; never, where Linux does not say so."""
    while _resident(pid) <= mebibytes << 20:
        await asyncio.sleep(LOOK_INTERVAL)


def _resident(pid: int) -> int:
    """Return the bytes that a process and those below it hold."""
    process = Path("/proc", str(pid))
    try:
        own = int((process / "statm").read_text().split()[1]) * PAGE
        children = (process / "task" / str(pid) / "children").read_text().split()
    except (OSError, IndexError):  # it has ended
        return 0
    return own + sum(_resident(int(child)) for child in children)
