"""Remote functions: functions that run on the GPU, as declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_modal.declare.keywords import DeclarationError, declaration_error, one_of
from pytest_modal.wording import three_parts

CONTAINER = "container"
SCOPES = ("function", "class", "module", "package", "session", CONTAINER)
ON_ERROR = ("error", "value")
SPECIFICATION = "__pytest_modal__"
_declared = False  # whether this process has declared a remote fixture


class Unset:
    """No value was given; None is a value."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET = Unset()


@dataclass(frozen=True, eq=False)
class RemoteFunction:
    """A function that runs on the GPU: a remote fixture, or the ``function=`` of a marker.

    Attributes
    ----------
    scope : str
        "container" for values that stay on the GPU.
    settings : mapping
        The environment as far as it was declared here.
    on_error : str
        "error", or "value" where a failed call is handed to the tests as data.
    mistake : str or None
        Why it can't run, which tests that use it report.
    """

    name: str
    function: Callable[..., object]
    scope: str = "function"
    mock: object = UNSET
    shard: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_error: str = "error"
    mistake: str | None = None

    @property
    def in_container(self) -> bool:
        """Whether the value never leaves the container."""
        return self.scope == CONTAINER

    @property
    def role(self) -> str:
        """What messages call it."""
        return "container fixture" if self.in_container else "function"

    @property
    def where(self) -> str:
        """``path:line`` of the function."""
        return where_is(self.function)


def where_is(function: Callable[..., object]) -> str:
    """Return ``path:line`` of a function, as far as it has one."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def note_remote_fixture() -> None:
    """Note that this process has declared a remote fixture."""
    global _declared
    _declared = True


def any_remote_fixture() -> bool:
    """Whether this process has declared one; suites without any skip the walk over the fixtures of each test."""
    return _declared


def remote_of(function: object) -> RemoteFunction | None:
    """Return what was declared on a fixture's function, if it is a remote one."""
    return getattr(function, SPECIFICATION, None)


def parameters_of(function: Callable[..., object]) -> dict[str, bool]:
    """Return the parameters of a function, and whether each has a default."""
    return {
        name: parameter.default is not parameter.empty
        for name, parameter in inspect.signature(function).parameters.items()
    }


def check_function(function: object, what: str, where: str, *, generator: bool) -> None:
    if not inspect.isfunction(function):
        raise declaration_error(
            f"{what}: {type(function).__name__} is not a plain function",
            where,
            "use a module-level `def`; for a partial or a method, write a function that calls it",
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise declaration_error(
            f"{what} is async, but containers call plain functions only",
            where,
            "write a plain `def`, and run an event loop inside it if it needs one",
        )
    if inspect.isgeneratorfunction(function) and not generator:
        raise declaration_error(
            f"{what} is a generator, but only container fixtures may yield",
            where,
            'return the data, or set scope="container" if the value never leaves the container',
        )
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            remedy = "write each parameter by its name, without *args, **kwargs and /"
            raise declaration_error(f"{what}: parameter {name!r} can't be bound by name", where, remedy)


def check_top_level(function: Callable[..., object], what: str, where: str) -> None:
    """Refuse a function that is not defined at the top level of its module."""
    if (mistake := nested(function, what, where)) is not None:
        raise DeclarationError(mistake)


def nested(function: Callable[..., object], what: str, where: str) -> str | None:
    """Return the message for a function that is not defined at the top level of its module; None for one that is."""
    if "." not in function.__qualname__:
        return None
    outer = function.__qualname__.rpartition(".")[0].removesuffix(".<locals>")
    return three_parts(
        f"{what} is defined inside {outer}: a container has neither its instance nor its closure",
        where,
        "move it to the top level of the module",
    )


def check_remote(remote: RemoteFunction, what: str, where: str) -> None:
    parameters = parameters_of(remote.function)
    if remote.on_error not in ON_ERROR:
        raise declaration_error(f"{what}: on_error={remote.on_error!r}", where, one_of(remote.on_error, ON_ERROR))
    if remote.on_error == "value" and remote.in_container:
        raise declaration_error(
            f'{what}: on_error="value" on a container fixture, whose value no test gets',
            where,
            'set on_error="value" on the fixtures that use it: its failure is theirs too',
        )
    if callable(remote.mock):
        check_function(remote.mock, f"{what}: mock", where_is(remote.mock), generator=remote.in_container)
        check_top_level(remote.mock, f"{what}: mock", where_is(remote.mock))
        unknown = [
            name for name, default in parameters_of(remote.mock).items() if not default and name not in parameters
        ]
        if unknown:
            raise declaration_error(
                f"{what}: mock takes {', '.join(unknown)}, which {remote.name} does not",
                where,
                f"use parameters of {remote.name} only: {', '.join(parameters) or 'it has none'}",
            )
    if remote.shard is not None and remote.shard not in parameters:
        raise declaration_error(
            f"{what}: shard={remote.shard!r} is not a parameter of the function",
            where,
            one_of(remote.shard, list(parameters)),
        )
