"""The way into a session: the configuration is looked at, the connection made, the cache volume looked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from pytest_modal.run.modal import errors
from pytest_modal.run.modal.configuration import fault_of_configuration
from pytest_modal.run.modal.network import hello, nobody_listens
from pytest_modal.run.modal.timeouts import within

HELLO_TIMEOUT = 20.0  # seconds for the first answer: a service under load takes its time
CONNECT_TIMEOUT = 5.0  # for what the batch can do without


async def connected() -> tuple[Any, str]:
    """Return the client, once Modal has answered it, and the address of its server.

    Raises
    ------
    InfrastructureError
        Modal can't be used as it is configured here, or does not answer.
    """
    if (fault := fault_of_configuration()) is not None:
        raise fault
    import modal

    url = str(modal.config.config.get("server_url"))
    started = time.monotonic()
    try:
        if await nobody_listens(url):
            raise TimeoutError
        client = await within(HELLO_TIMEOUT, hello())
    except TimeoutError:
        raise errors.unreachable(url, time.monotonic() - started) from None
    # The client looks at its configuration when it is made.
    except (modal.exception.InvalidError, ImportError) as error:
        raise errors.misconfigured(error) from error
    except Exception as error:
        raise await errors.of_session(error, url) from error
    return client, url


async def who_pays() -> str:
    """Return the workspace and its environment, as people read them; empty where that can't be found out."""
    import modal

    # They are newer than the oldest client that is supported.
    workspace: Any = getattr(modal, "Workspace", None)
    environment: Any = getattr(modal, "Environment", None)
    found: dict[str, Any] = {}

    async def look(kind: str, objects: Any) -> None:
        with contextlib.suppress(Exception):
            found[kind] = (await within(CONNECT_TIMEOUT, objects.from_context().hydrate.aio())).name

    await asyncio.gather(look("workspace", workspace), look("environment", environment))
    return ", ".join(f"{kind} {found[kind]}" for kind in ("workspace", "environment") if found.get(kind))


async def usable_cache(name: str, note: Callable[[str], None]) -> str:
    """Return the name of the volume that keeps downloads; an empty one, and a note, where it can't be had.

    Nothing else depends on it.
    """
    import modal

    kinds = (
        modal.exception.PermissionDeniedError,
        modal.exception.NotFoundError,
        modal.exception.InvalidError,
        modal.exception.ResourceExhaustedError,
    )
    try:
        if name:
            await within(CONNECT_TIMEOUT, modal.Volume.from_name(name, create_if_missing=True).hydrate.aio())
    except kinds as error:
        if errors.of_billing(str(error)) is not None:
            return name  # what opens the session next will say it
        note(f"downloads are not kept: the volume {name!r} (modal_cache_volume) can't be had: {error}")
        return ""
    except Exception:
        pass  # what opens the session next will say what is wrong
    return name


async def watch(client: Any, url: str, limit: float, fail: Callable[[errors.InfrastructureError], None]) -> None:
    """Call `fail` once the server has not answered for so many seconds, or refuses the token.

    The client itself would wait forever for a server that no longer answers.
    """
    heard = time.monotonic()
    while True:
        await asyncio.sleep(min(15.0, limit / 4))
        try:
            await within(limit, client.hello.aio())
            heard = time.monotonic()
        except Exception as error:
            fresh = await errors.of_session(error, url)
            if fresh.kind in ("auth", "permission"):
                fail(fresh)
        if time.monotonic() - heard >= limit:
            fail(errors.lost(time.monotonic() - heard))
