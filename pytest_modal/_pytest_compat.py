"""Every private name of pytest that the plugin uses. `tests/test_pytest_compat.py` holds the contract."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import pytest
from _pytest.compat import NOTSET
from _pytest.fixtures import SubRequest
from _pytest.outcomes import Failed as Failed
from _pytest.runner import runtestprotocol
from _pytest.scope import Scope
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

FixtureDef = pytest.FixtureDef[Any]
NOTHING = object()
PARAMETRIZED = "get_direct_param_fixture_func"
CURRENT_TEST = "PYTEST_CURRENT_TEST"


def item_of(request: pytest.FixtureRequest) -> pytest.Function:
    """Return the test for which a fixture of any scope is being set up."""
    return request._pyfuncitem


def own_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the fixtures that the test function itself names as parameters."""
    return tuple(item._fixtureinfo.argnames)


def initial_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the fixtures that a test asks for: parameters, ``usefixtures``, autouse."""
    return tuple(item._fixtureinfo.initialnames)


def fixture_chain(item: pytest.Function, name: str) -> Sequence[FixtureDef]:
    """Return the definitions of a fixture that the test can see, the nearest last."""
    known = item._fixtureinfo.name2fixturedefs.get(name)
    return known or item.session._fixturemanager.getfixturedefs(name, item) or ()


def is_parametrized(fixturedef: FixtureDef) -> bool:
    """Whether it stands for an argument given by ``parametrize`` directly."""
    return getattr(fixturedef.func, "__name__", "") == PARAMETRIZED


def param_of(item: pytest.Function, name: str) -> object:
    """Return the parametrized value of a name, or `NOTHING`."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name, NOTHING) if callspec is not None else NOTHING


def session_autouse(item: pytest.Function) -> list[str]:
    """Return the autouse fixtures of session scope that the test gets."""
    names = item.session._fixturemanager._getautousenames(item)
    return [name for name in names if (chain := fixture_chain(item, name)) and chain[-1].scope == "session"]


def sends_nothing(item: pytest.Item) -> bool:
    """Whether marks say that the test will not run."""
    if evaluate_skip_marks(item) is not None:
        return True
    xfailed = evaluate_xfail_marks(item)
    return xfailed is not None and not xfailed.run and not item.config.option.runxfail


@contextlib.contextmanager
def active(item: pytest.Function, following: pytest.Function | None) -> Iterator[pytest.FixtureRequest]:
    """Make it possible to resolve fixtures for a test without setting it up.

    Afterwards the test is as new. Fixtures that the `following` test shares stay; without one, everything
    below session scope is torn down.
    """
    state = item.session._setupstate
    with _current_test(item):
        try:
            for node in item.listchain():
                if node not in state.stack:
                    state.stack[node] = ([], None)
            yield item._request
        finally:
            chain = following.listchain()[:-1] if following is not None else [item.session]
            state.teardown_exact(_Chain(chain))  # type: ignore[arg-type]
            item._initrequest()


@contextlib.contextmanager
def _current_test(item: pytest.Item) -> Iterator[None]:
    """Name the test in the environment, as pytest does while it sets one up.

    A fixture that restores ``os.environ`` at its end restores the variable too, and pytest fails without it.
    """
    before = os.environ.get(CURRENT_TEST)
    os.environ[CURRENT_TEST] = f"{item.nodeid} (setup)".replace("\x00", "(null)")
    try:
        yield
    finally:
        os.environ.pop(CURRENT_TEST, None)
        if before is not None:
            os.environ[CURRENT_TEST] = before


class _Chain:
    """Stands in for the next test: all that teardown asks of one is its chain."""

    def __init__(self, nodes: list[object]) -> None:
        self._nodes = nodes

    def listchain(self) -> list[object]:
        return self._nodes


def request_for(
    request: pytest.FixtureRequest, fixturedef: FixtureDef, param: object = NOTHING
) -> pytest.FixtureRequest:
    """Return the request that a fixture's function would see, without running it.

    What it resolves is what pytest would hand to that function: overrides and scopes included.
    """
    value = NOTSET if param is NOTHING else param
    scope = Scope(fixturedef.scope)
    return SubRequest(request, scope, value, 0, fixturedef, _ispytest=True)


def run_silently(item: pytest.Item, following: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test as if for the first time, and return its reports instead of logging them."""
    item._report_sections.clear()
    return runtestprotocol(item, log=False, nextitem=following)


def come_back_to(item: pytest.Item) -> None:
    """Make a worker of pytest-xdist take the next reports for those of this test: it had gone on to others."""
    for plugin in item.config.pluginmanager.get_plugins():
        if hasattr(plugin, "item_index") and hasattr(plugin, "testrunuid"):
            plugin.item_index = item.session.items.index(item)


def skip_at_item(reason: str) -> NoReturn:
    """Skip a test; the place that is reported is the test's."""
    raise pytest.skip.Exception(reason, _use_item_location=True)
