"""The network as it was before the fixtures of the suite: some of them block it while tests run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any


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
