"""Remote fixtures that a test uses, and by which path: overrides and local fixtures in between included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.marker import MARKER, Marker, read_marker
from pytest_modal.declare.remote_function import RemoteFunction, remote_of
from pytest_modal.plan.state import Unknown


def marker_of(item: pytest.Item) -> Marker:
    """Read the ``modal_gpu`` markers of a test."""
    return read_marker(compat.nearest_marks(item, MARKER), item.nodeid)


def reaches_remote(item: pytest.Function) -> bool:
    """Whether a test requests, directly or not, a remote fixture."""
    return any(True for _ in reached(item))


def reached(item: pytest.Function) -> Iterator[tuple[RemoteFunction, tuple[str, ...], str | None]]:
    """Walk the fixtures that a test uses.

    Yields
    ------
    remote : RemoteFunction
        A remote fixture that the test or a local fixture requests.
    path : tuple of str
        The names that lead to it.
    asked_by : str or None
        The test or the local fixture that requests it by a parameter.
    """
    own, seen = compat.own_names(item), set[Any]()
    for name in compat.initial_names(item):
        yield from _reached(item, (name,), item.name if name in own else None, seen)


def wanted(item: pytest.Function, marker: Marker) -> Iterator[tuple[RemoteFunction, tuple[str, ...]]]:
    """Yield the remote functions whose results a test gets, and the names that lead to them; none for a marker's."""
    if marker.remote is not None:
        yield marker.remote, ()
    for remote, chain, _ in reached(item):
        if not remote.in_container:
            yield remote, chain


def _reached(
    item: pytest.Function, path: tuple[str, ...], asked_by: str | None, seen: set[object]
) -> Iterator[tuple[RemoteFunction, tuple[str, ...], str | None]]:
    definition = definition_at(item, path)
    if definition is None or (definition, asked_by is None) in seen:
        return
    seen.add((definition, asked_by is None))
    remote = remote_of(definition.func)
    if remote is not None:
        yield remote, path, asked_by
    else:
        for name in definition.argnames:
            yield from _reached(item, (*path, name), f"fixture {path[-1]!r}", seen)


def leads_to_remote(item: pytest.Function, *path: str) -> bool:
    """Whether the fixture at the end of a path is, or needs, a remote one."""
    return any(True for _ in _reached(item, path, None, set()))


def unknown_fixture(item: pytest.Function) -> tuple[str, ...] | None:
    """Return the names that lead to a fixture that doesn't exist, if the test or a local fixture requests one."""
    seen = set[Any]()
    waiting: list[tuple[str, ...]] = [(name,) for name in compat.initial_names(item)]
    while waiting:
        path = waiting.pop(0)
        definition = definition_at(item, path)
        if definition is None:
            if path[-1] != "request" and path[-1] not in item.funcargs:
                return path
        elif remote_of(definition.func) is None and definition not in seen:
            seen.add(definition)
            waiting += [(*path, name) for name in definition.argnames]
    return None


def unknown_fixture_error(item: pytest.Item, unknown: Unknown) -> pytest.FixtureLookupError:
    """Return pytest's own error about a fixture that doesn't exist."""
    assert isinstance(item, pytest.Function)
    *path, name = unknown.path
    return compat.fixture_not_found(request_along(item, item._request, tuple(path)), name, unknown.hint)


def request_along(
    item: pytest.Function, request: pytest.FixtureRequest, path: tuple[str, ...]
) -> pytest.FixtureRequest:
    """Return the request at the end of a path of fixtures."""
    for length in range(1, len(path) + 1):
        definition = definition_at(item, path[:length])
        if definition is not None:
            request = compat.request_for(request, definition, compat.param_of(item, path[length - 1]))
    return request


def definition_at(item: pytest.Function, path: tuple[str, ...]) -> compat.FixtureDef | None:
    """Return the definition at the end of a path of names: a fixture that names itself gets the one it overrides."""
    if not path:
        return None
    chain = compat.fixture_chain(item, path[-1])
    depth = path.count(path[-1])
    return chain[-depth] if depth <= len(chain) else None
