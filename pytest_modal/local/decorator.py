"""The decorator ``@pytest_modal.fixture``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import pytest

from pytest_modal.declare.keywords import ENVIRONMENT, checked_settings, declaration_error, one_of
from pytest_modal.declare.remote_function import (
    CONTAINER,
    SCOPES,
    SPECIFICATION,
    UNSET,
    RemoteFunction,
    check_function,
    check_remote,
    nested,
    note_remote_fixture,
    where_is,
)


def fixture(
    function: Callable[..., object] | None = None,
    *,
    scope: Literal["function", "class", "module", "package", "session", "container"] = "function",
    params: Sequence[Any] | None = None,
    ids: Sequence[Any] | Callable[[Any], Any] | None = None,
    name: str | None = None,
    mock: Any = UNSET,
    shard: str | None = None,
    on_error: Literal["error", "value"] = "error",
    **environment: Any,
) -> Any:
    """Declare a remote fixture: its body runs on the GPU, its value is data.

    Parameters
    ----------
    function : callable
        A module-level function. Its parameters are fixtures and parametrized values, bound by name.
    scope : str
        As in pytest, for the value that tests get; or "container": built once in the container, never leaves
        it, shared by all calls that request it. The code after a ``yield`` runs after its last user.
    params, ids, name
        As in `pytest.fixture`; the body reads ``request.param``.
    mock : callable or data
        Replaces the body in local mock mode.
    shard : str
        The list argument to split over ``max_containers`` containers; the returned lists are joined in order.
    on_error : str
        "error": a failed call is an error of the tests that need it. "value": they get a `Failure` in its place.
    **environment
        ``gpu``, ``timeout`` (seconds), ``packages``, ``local_packages``, ``image``, ``volumes``, ``secrets``,
        ``env``, ``cpu``, ``memory`` (MiB), ``region``, ``retries``, ``max_containers``, ``seed``.

    Raises
    ------
    DeclarationError
        An unknown keyword or scope, or a function that can't be shipped.
    """

    def declare(function: Callable[..., object]) -> object:
        if isinstance(function, staticmethod | classmethod):
            function = function.__func__
        what = f"@pytest_modal.fixture {getattr(function, '__name__', function)!r}"
        where = where_is(function)
        check_function(function, what, where, generator=scope == CONTAINER)
        if scope not in SCOPES:
            raise declaration_error(f"{what}: unknown scope {scope!r}", where, one_of(scope, SCOPES))
        if shard is not None and scope == CONTAINER:
            raise declaration_error(
                f"{what}: a container fixture can't be sharded", where, "shard the data fixture that uses it"
            )
        known = (*ENVIRONMENT, "mock", "shard", "on_error", "params", "ids", "name")
        settings = checked_settings(environment, what, where, known)
        # A class is still to be read to its end: what is wrong with its fixture is an error of the tests that use it.
        mistake = nested(function, what, where)
        remote = RemoteFunction(name or function.__name__, function, scope, mock, shard, settings, on_error, mistake)
        if mistake is None:
            check_remote(remote, what, where)
        # pytest has to know how long the value exists: as long as the containers of the session.
        note_remote_fixture()
        local_scope = cast(Any, "session" if scope == CONTAINER else scope)
        return pytest.fixture(scope=local_scope, params=params, ids=ids, name=name)(_local_side(remote))

    return declare if function is None else declare(function)


def _local_side(remote: RemoteFunction) -> Callable[..., object]:
    takes_request = "request" in inspect.signature(remote.function).parameters

    @functools.wraps(remote.function)
    def hand_out(request: pytest.FixtureRequest, **arguments: object) -> object:
        from pytest_modal.local.values import value_for

        return value_for(request, remote, arguments)

    signature = inspect.signature(remote.function)
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [*([] if takes_request else [request]), *signature.parameters.values()]
    vars(hand_out)["__signature__"] = signature.replace(parameters=parameters)
    setattr(hand_out, SPECIFICATION, remote)
    return hand_out
