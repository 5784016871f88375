"""Timeouts that hold, whatever the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Await `work` for at most `seconds`.

    `asyncio.wait_for` would wait until the work has handled its cancellation, which a call of the client does not do
    while its server is silent.

    Raises
    ------
    TimeoutError
        It takes longer; it is cancelled.
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
    # Nobody else may look at the exception, and asyncio would log it as never retrieved.
    if not task.cancelled():
        task.exception()
