"""Apps on Modal, run for a while: opened and closed although Modal fails for a moment."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pytest_modal.run.modal.streams import RETRY_DELAY, Failing
from pytest_modal.run.modal.timeouts import within

Waiting = Callable[[Awaitable[object]], Awaitable[None]]

_NAMELESS = 2.0  # seconds to wait for the name of an app


def has_ended(info: Any) -> bool:
    """Whether an app has been stopped, by what Modal says of it."""
    import modal

    return info.lifecycle.state in (modal.types.AppState.STOPPED, modal.types.AppState.STOPPING)


@contextlib.asynccontextmanager
async def opened(app: Any, unless_failed: Waiting, patience: float, grace: Callable[[], float]) -> AsyncIterator[None]:
    """Run an app while the block runs.

    Parameters
    ----------
    unless_failed : callable
        Awaits something, unless the session fails meanwhile.
    patience : float
        Seconds that Modal may fail for.
    grace : callable
        Returns the seconds that closing may take.
    """
    run = await _entered(app, unless_failed, patience, grace)
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        await _left(app, run, failure, grace)


async def _entered(app: Any, unless_failed: Waiting, patience: float, grace: Callable[[], float]) -> Any:
    import modal

    failing = Failing(patience)
    while True:
        run = app.run()
        entering = asyncio.ensure_future(run.__aenter__())
        try:
            await unless_failed(asyncio.shield(entering))
            return run
        except modal.exception.InternalError as error:
            if not failing.may_pass(error):
                raise
        except BaseException as error:
            if await _may_be_open(app, entering, grace):
                await _left(app, run, error, grace)
            raise
        await asyncio.sleep(RETRY_DELAY)


async def _may_be_open(app: Any, entering: asyncio.Task[object], grace: Callable[[], float]) -> bool:
    """Cancel the opening of an app, which the client then ends; return whether it may be open all the same."""
    # Of one that has no name yet, nobody could be told that it is to be ended.
    began = time.monotonic()
    while not entering.done() and app.app_id is None and time.monotonic() - began < _NAMELESS:
        await asyncio.wait([entering], timeout=0.02)
    if not entering.done():
        entering.cancel()
        await asyncio.wait([entering], timeout=grace())
    # Where the client's own thread was just done with it, the cancellation is all that arrives here.
    return entering.cancelled() or (entering.done() and entering.exception() is None)


async def _left(app: Any, run: Any, failure: BaseException | None, grace: Callable[[], float]) -> None:
    """End an app, which may be because something failed; that ending it fails is nobody's concern."""
    import modal

    async def stopped() -> None:
        while True:
            try:
                await app.stop.aio()
                return
            except modal.exception.InternalError:
                await asyncio.sleep(RETRY_DELAY)

    # Modal records why a session ended: after Ctrl-C, that is a KeyboardInterrupt.
    why = KeyboardInterrupt() if isinstance(failure, asyncio.CancelledError) else failure
    with contextlib.suppress(Exception, KeyboardInterrupt):
        try:
            await within(grace(), run.__aexit__(type(why) if why else None, why, None))
        except modal.exception.InternalError:
            # Modal would let the app run on until it misses its heartbeats.
            await within(grace(), stopped())
