"""The way to Modal: whether it is open at all, and open in spite of fixtures that block it while tests run."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pytest_modal.plan.garbage import without_collections

_LOOK_TIMEOUT = 5.0  # seconds
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@functools.cache
def load_client() -> None:
    """Import Modal's client: 70,000 objects, among which Python would look for cycles again and again.

    It would at the end of the process too, for a tenth of a second.
    """
    atexit.register(gc.freeze)
    # What is wrong with it, or its configuration, is raised again where that is told.
    with without_collections(), contextlib.suppress(Exception):
        import modal  # noqa: F401


async def hello() -> Any:
    """Return the client, once Modal has answered it."""
    import modal

    client: Any = modal.Client
    client = await client.from_env.aio()
    await client.hello.aio()
    return client


async def nobody_listens(urls: str) -> bool:
    """Whether it is certain at once that no server answers: the client itself would try for a minute.

    Parameters
    ----------
    urls : str
        One, or several with commas between: the client takes the first that answers.
    """
    if any(os.environ.get(name) or os.environ.get(name.lower()) for name in _PROXIES):
        return False
    return all([await _is_closed(url) for url in urls.split(",")])


async def _is_closed(url: str) -> bool:
    parts = urlsplit(url.strip())
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, port), _LOOK_TIMEOUT)
    except (ConnectionRefusedError, socket.gaierror):
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False


class Network:
    """Keeps what Python's module `socket` is made of.

    A guard that is a fixture of session scope is set up while the batch is planned. It is there for the tests; the
    session's own connection is not a test's.
    """

    def __init__(self) -> None:
        self._owners: tuple[Any, ...] = (socket, socket.socket)
        self._before = self._read()

    @contextlib.contextmanager
    def as_before(self) -> Iterator[None]:
        """Put everything back for a while: no test may run meanwhile."""
        now = self._read()
        self._write(now, self._before)
        try:
            yield
        finally:
            self._write(self._before, now)

    def _read(self) -> list[dict[str, Any]]:
        return [dict(vars(owner)) for owner in self._owners]

    def _write(self, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
        for owner, there, wanted in zip(self._owners, old, new, strict=True):
            for name in there.keys() - wanted.keys():
                delattr(owner, name)
            for name, value in wanted.items():
                if name not in there or there[name] is not value:
                    setattr(owner, name, value)
