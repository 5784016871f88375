"""The marker ``modal_gpu``, read and checked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_modal.declare.keywords import ENVIRONMENT, checked_settings, declaration_error
from pytest_modal.declare.remote_function import (
    UNSET,
    RemoteFunction,
    check_function,
    check_remote,
    check_top_level,
)

MARKER_KEYWORDS = ("function", "args", "mock", "shard", "on_error", *ENVIRONMENT)
MARKER = "modal_gpu"


@dataclass(frozen=True)
class Marker:
    """The ``modal_gpu`` markers of a test, the nearest first in everything.

    Attributes
    ----------
    remote : RemoteFunction or None
        The function whose result is ``modal_result``.
    args : mapping
        Arguments for that function from the marker.
    settings : mapping
        Settings of the environment from the markers.
    """

    remote: RemoteFunction | None
    args: Mapping[str, Any]
    settings: Mapping[str, Any]


def read_marker(marks: Sequence[pytest.Mark], where: str) -> Marker:
    """Read the markers of a test, the nearest first.

    Raises
    ------
    DeclarationError
        Positional arguments, unknown keywords, values of the wrong kind.
    """
    remote: RemoteFunction | None = None
    args: Mapping[str, Any] = {}
    settings: dict[str, Any] = {}
    for mark in marks:
        what = "@pytest.mark.modal_gpu"
        if mark.args:
            raise declaration_error(
                f"{what} takes keywords only, not {mark.args[0]!r}",
                where,
                "write @pytest.mark.modal_gpu(function=...)",
            )
        given = dict(mark.kwargs)
        function, own_args = given.pop("function", None), given.pop("args", {})
        mock, shard = given.pop("mock", UNSET), given.pop("shard", None)
        on_error = given.pop("on_error", None)
        settings = {**checked_settings(given, what, where, MARKER_KEYWORDS), **settings}
        if function is None and (own_args or mock is not UNSET or shard is not None or on_error is not None):
            raise declaration_error(f"{what}: args=, mock= and shard= need a function=", where, "add function=...")
        if function is not None and remote is None:
            check_function(function, f"{what}(function=...)", where, generator=False)
            check_top_level(function, f"{what}(function=...)", where)
            if not isinstance(own_args, Mapping):
                raise declaration_error(
                    f"{what}: args= is a {type(own_args).__name__}, not a dict", where, 'write args={"name": value}'
                )
            remote, args = (
                RemoteFunction(function.__name__, function, mock=mock, shard=shard, on_error=on_error or "error"),
                own_args,
            )
            unknown = set(args) - set(inspect.signature(function).parameters)
            if unknown:
                known = ", ".join(inspect.signature(function).parameters)
                raise declaration_error(
                    f"{what}: args= names {sorted(unknown)}, which {function.__name__} does not take",
                    where,
                    f"use its parameters: {known}" if known else f"remove args=: {function.__name__} has no parameters",
                )
            check_remote(remote, what, where)
    return Marker(remote, args, settings)
