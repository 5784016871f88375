"""What a user declares: ``@pytest_modal.fixture`` and ``@pytest.mark.modal_gpu``."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

import pytest

from pytest_modal import handout
from pytest_modal.batch import Environment

CONTAINER = "container"
SCOPES = ("function", "class", "module", "package", "session", CONTAINER)
SETTINGS = tuple(each.name for each in fields(Environment))
MARKER_KEYWORDS = ("function", "args", "mock", "shard", *SETTINGS)
MARKER = "modal_gpu"
_SPEC = "__pytest_modal__"
_declared = False  # whether this process has declared a remote fixture


class DeclarationError(TypeError):
    """A remote fixture or a marker is declared in a way that can't work."""


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
    """

    name: str
    function: Callable[..., Any]
    scope: str = "function"
    mock: Any = UNSET
    shard: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_container(self) -> bool:
        """Whether the value never leaves the container."""
        return self.scope == CONTAINER

    @property
    def where(self) -> str:
        """``path:line`` of the function."""
        return where_is(self.function)


def where_is(function: Callable[..., Any]) -> str:
    """Return ``path:line`` of a function, as far as it has one."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def fixture(
    function: Callable[..., Any] | None = None,
    *,
    scope: Literal["function", "class", "module", "package", "session", "container"] = "function",
    params: Sequence[Any] | None = None,
    ids: Sequence[Any] | Callable[[Any], Any] | None = None,
    name: str | None = None,
    mock: Any = UNSET,
    shard: str | None = None,
    **environment: Any,
) -> Any:
    """Declare a remote fixture: its body runs on the GPU, its value is data.

    Parameters
    ----------
    function : callable
        A module-level function. Its parameters are fixtures and parametrized values, bound by name.
    scope : str
        As in pytest, for the local handing out; or "container": built once in the container, never leaves
        it, shared by all calls that name it. What follows a ``yield`` runs after its last user.
    params, ids, name
        As in `pytest.fixture`; the body reads ``request.param``.
    mock : callable or data
        Stands in for the body in local mock mode.
    shard : str
        The list argument to split over ``max_containers`` containers; the returned lists are joined in order.
    **environment
        ``gpu``, ``timeout`` (seconds), ``packages``, ``local_packages``, ``image``, ``volumes``, ``secrets``,
        ``env``, ``cpu``, ``memory`` (MiB), ``region``, ``retries``, ``max_containers``.

    Raises
    ------
    DeclarationError
        An unknown keyword or scope, or a function that can't be shipped.
    """

    def declare(function: Callable[..., Any]) -> Any:
        what = f"@pytest_modal.fixture {getattr(function, '__name__', function)!r}"
        where = where_is(function)
        _check_function(function, what, where, generator=scope == CONTAINER)
        if scope not in SCOPES:
            raise _error(f"{what}: unknown scope {scope!r}", where, _one_of(scope, SCOPES))
        if shard is not None and scope == CONTAINER:
            raise _error(f"{what}: a container fixture can't be sharded", where, "shard the data fixture that uses it")
        settings = checked_settings(environment, what, where, (*SETTINGS, "mock", "shard", "params", "ids", "name"))
        remote = RemoteFunction(name or function.__name__, function, scope, mock, shard, settings)
        _check_mock_and_shard(remote, what, where)
        # A container's value lives as long as the session's containers: that is what pytest has to know.
        note_remote_fixture()
        local_scope = cast(Any, "session" if scope == CONTAINER else scope)
        return pytest.fixture(scope=local_scope, params=params, ids=ids, name=name)(_local_side(remote))

    return declare if function is None else declare(function)


def _local_side(remote: RemoteFunction) -> Callable[..., Any]:
    takes_request = "request" in inspect.signature(remote.function).parameters

    @functools.wraps(remote.function)
    def hand_out(request: pytest.FixtureRequest, **arguments: Any) -> Any:
        return handout.value_for(request, remote, arguments)

    signature = inspect.signature(remote.function)
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [*([] if takes_request else [request]), *signature.parameters.values()]
    vars(hand_out)["__signature__"] = signature.replace(parameters=parameters)
    setattr(hand_out, _SPEC, remote)
    return hand_out


def note_remote_fixture() -> None:
    """Note that this process has declared a remote fixture."""
    global _declared
    _declared = True


def any_remote_fixture() -> bool:
    """Whether this process has declared one: suites without skip the walk over the fixtures of each test."""
    return _declared


def remote_of(function: Any) -> RemoteFunction | None:
    """Return what was declared on a fixture's function, if it is a remote one."""
    return getattr(function, _SPEC, None)


@dataclass(frozen=True)
class Marker:
    """The ``modal_gpu`` markers of a test, the nearest first in everything.

    Attributes
    ----------
    remote : RemoteFunction or None
        The function whose result is ``modal_result``.
    args : mapping
        Arguments of that function that the marker gives.
    settings : mapping
        What the markers say about the environment.
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
            raise _error(
                f"{what} takes keywords only, not {mark.args[0]!r}",
                where,
                "write @pytest.mark.modal_gpu(function=...)",
            )
        given = dict(mark.kwargs)
        function, own_args = given.pop("function", None), given.pop("args", {})
        mock, shard = given.pop("mock", UNSET), given.pop("shard", None)
        settings = {**checked_settings(given, what, where, MARKER_KEYWORDS), **settings}
        if function is None and (own_args or mock is not UNSET or shard is not None):
            raise _error(f"{what}: args=, mock= and shard= need a function=", where, "add function=...")
        if function is not None and remote is None:
            _check_function(function, f"{what}(function=...)", where, generator=False)
            if not isinstance(own_args, Mapping):
                raise _error(f"{what}: args= is a {type(own_args).__name__}", where, 'write args={"name": value}')
            remote, args = (
                RemoteFunction(function.__name__, function, mock=mock, shard=shard),
                own_args,
            )
            unknown = set(args) - set(inspect.signature(function).parameters)
            if unknown:
                raise _error(
                    f"{what}: args= names {sorted(unknown)}, which {function.__name__} does not take",
                    where,
                    f"its parameters are {', '.join(inspect.signature(function).parameters) or 'none'}",
                )
            _check_mock_and_shard(remote, what, where)
    return Marker(remote, args, settings)


def parameters_of(function: Callable[..., Any]) -> dict[str, bool]:
    """Return the parameters of a function, and whether each has a default."""
    return {
        name: parameter.default is not parameter.empty
        for name, parameter in inspect.signature(function).parameters.items()
    }


def checked_settings(given: Mapping[str, Any], what: str, where: str, known: Sequence[str]) -> dict[str, Any]:
    """Check the keywords of an environment and bring their values into one form."""
    settings = {}
    for name, value in given.items():
        if name not in SETTINGS:
            raise _error(f"{what}: unknown keyword {name!r}", where, _one_of(name, known))
        settings[name] = _checked(name, value, what, where)
    return settings


def _checked(name: str, value: Any, what: str, where: str) -> Any:
    def wrong(expected: str) -> DeclarationError:
        return _error(f"{what}: {name}={value!r}", where, f"give {expected}")

    if name in ("packages", "local_packages"):
        if value is None and name == "packages":
            return None
        if isinstance(value, str) or not all(isinstance(each, str) for each in value):
            raise wrong('a list of names, such as ["torch", "transformers"]')
        return tuple(value)
    if name in ("gpu", "region"):
        if value is None or isinstance(value, str):
            return value
        if not value or not all(isinstance(each, str) for each in value):
            raise wrong('a name, such as "T4", or a list of names in order of preference')
        return tuple(value)
    if name in ("env", "volumes"):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise wrong("a dict with text keys")
        if name == "env" and not all(isinstance(each, str) for each in value.values()):
            raise wrong("a dict of text to text")
        return tuple(sorted(value.items(), key=lambda pair: pair[0]))
    if name == "secrets":
        return (value,) if isinstance(value, str) else tuple(value)
    if name in ("timeout", "cpu", "memory", "retries", "max_containers"):
        whole, least = name in ("memory", "retries", "max_containers"), 0 if name == "retries" else 1e-9
        if value is None and name in ("cpu", "memory"):
            return None
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value < least:
            raise wrong("a positive number" if not whole else "a whole number")
    return value


def _check_function(function: Any, what: str, where: str, *, generator: bool) -> None:
    if not inspect.isfunction(function):
        raise _error(
            f"{what}: {type(function).__name__} is not a plain function",
            where,
            "give a module-level `def`; for a partial or a method, write a function that calls it",
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _error(f"{what} is async", where, "write a plain `def`; run an event loop inside it if you must")
    if inspect.isgeneratorfunction(function) and not generator:
        raise _error(
            f"{what} is a generator, but its value is data",
            where,
            'return the data; `yield` is for scope="container"',
        )
    if "." in function.__qualname__:
        raise _error(
            f"{what} is defined inside {function.__qualname__.rpartition('.')[0].removesuffix('.<locals>')}",
            where,
            "move it to the top level of the module: a container has neither the instance nor the closure",
        )
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise _error(f"{what}: parameter {name!r} can't be bound by name", where, "name each parameter")


def _check_mock_and_shard(remote: RemoteFunction, what: str, where: str) -> None:
    parameters = parameters_of(remote.function)
    if callable(remote.mock):
        _check_function(remote.mock, f"{what}: mock", where_is(remote.mock), generator=remote.in_container)
        unknown = [
            name for name, default in parameters_of(remote.mock).items() if not default and name not in parameters
        ]
        if unknown:
            raise _error(
                f"{what}: mock takes {', '.join(unknown)}, which {remote.name} does not",
                where,
                f"use parameters of {remote.name}: {', '.join(parameters) or 'it has none'}",
            )
    if remote.shard is not None and remote.shard not in parameters:
        raise _error(f"{what}: shard={remote.shard!r} is no parameter", where, _one_of(remote.shard, list(parameters)))


def _one_of(name: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


def _error(what: str, where: str, remedy: str) -> DeclarationError:
    return DeclarationError(f"{what}\n  where: {where}\n  what to do: {remedy}")
