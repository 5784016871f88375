"""Bodies of remote functions: what runs, and the container fixtures that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_modal.declare.remote_function import UNSET, RemoteFunction, parameters_of, remote_of
from pytest_modal.plan.remote_fixtures import definition_at


class Bodies:
    """Finds the bodies.

    Parameters
    ----------
    mocks : bool
        Whether ``mock=`` replaces them.
    """

    def __init__(self, *, mocks: bool) -> None:
        self._mocks = mocks
        self._known: dict[RemoteFunction, Callable[..., object]] = {}

    def of(self, remote: RemoteFunction) -> Callable[..., object]:
        """Return what runs for a remote function."""
        if remote not in self._known:
            mocked = self._mocks and remote.mock is not UNSET
            self._known[remote] = remote.function if not mocked else _mocked_body(remote.mock)
        return self._known[remote]

    def containers_of(
        self, item: pytest.Function, remote: RemoteFunction, chain: tuple[str, ...]
    ) -> Iterator[RemoteFunction]:
        """Yield the container fixtures that a remote function needs, each after those that it needs itself."""
        for inner, path in self.requested_by(item, remote, chain):
            if inner.in_container:
                yield from self.containers_of(item, inner, path)
                yield inner

    def requested_by(
        self, item: pytest.Function, remote: RemoteFunction, chain: tuple[str, ...]
    ) -> Iterator[tuple[RemoteFunction, tuple[str, ...]]]:
        """Yield the remote fixtures among the parameters of a remote function, and the names that lead to them."""
        for name in parameters_of(self.of(remote)):
            path = (*chain, name)
            definition = definition_at(item, path)
            inner = remote_of(definition.func) if definition is not None else None
            if inner is not None:
                yield inner, path


def _mocked_body(mock: Any) -> Callable[..., object]:
    if callable(mock):
        return mock  # type: ignore[no-any-return]
    return lambda: mock
