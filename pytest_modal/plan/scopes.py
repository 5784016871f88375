"""Scopes: what pytest would refuse when a test is set up is refused before its calls are paid for."""

from __future__ import annotations

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.remote_function import RemoteFunction, remote_of


def shorter_lived(
    item: pytest.Function, remote: RemoteFunction, own: compat.FixtureDef | None, name: str, taken: compat.FixtureDef
) -> str | None:
    """Say what a data fixture takes that does not live as long as itself; None where it may take it.

    What container fixtures take is known by its value: its scope does not matter, nor does theirs.

    Parameters
    ----------
    own : FixtureDef or None
        The definition of `remote`; None for a marker's function.
    name : str
        What it takes.
    taken : FixtureDef
        The definition of that.
    """
    inner = remote_of(taken.func)
    if own is None or remote.in_container or (inner is not None and inner.in_container):
        return None
    if not compat.outlives(item, own, taken):
        return None
    if compat.is_parametrized(taken):
        return f"{name!r}, which is parametrized with scope {taken.scope!r}"
    if inner is None and taken.scope == "function":
        return None  # refused whatever takes it
    return f"the fixture {name!r} of scope {taken.scope!r}"
