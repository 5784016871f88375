"""Waiting for the client with a limit that holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Wait for something, but not longer than so.

    `asyncio.wait_for` would wait until the work has taken note of its cancellation, which a call of the client
    does not do while its server is silent.

    Raises
    ------
    TimeoutError
        It takes longer; it is told to stop.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_noted)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


def _noted(task: asyncio.Future[T]) -> None:
    # Nobody may be left to look at it.
    if not task.cancelled():
        task.exception()
