"""Every private name of pytest that the plugin uses. `tests/test_pytest_compat.py` holds the contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntry, ReprFileLocation, ReprTraceback
from _pytest.compat import NOTSET
from _pytest.fixtures import SubRequest
from _pytest.runner import runtestprotocol
from _pytest.scope import Scope
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

FixtureDef = pytest.FixtureDef[Any]
NOTHING = object()
PARAMETRIZED = "get_direct_param_fixture_func"


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
    try:
        for node in item.listchain():
            if node not in state.stack:
                state.stack[node] = ([], None)
        yield item._request
    finally:
        chain = following.listchain()[:-1] if following is not None else [item.session]
        state.teardown_exact(_Chain(chain))  # type: ignore[arg-type]
        item._initrequest()


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


def put_failure(report: pytest.TestReport, text: str, path: str, line: int, headline: str) -> None:
    """Replace what a report shows: the text under its title, and the line in the short summary, in JUnit's message and
    with ``--tb=line``.
    """
    entry = ReprEntry(text.splitlines(), None, None, None, "value")
    crash = ReprFileLocation(path, line, headline)
    report.longrepr = ExceptionChainRepr([(ReprTraceback([entry], None, "value"), crash, None)])


def start_section(screen: Any, title: str) -> None:
    """Write the title of a section of the summary, and an empty line above it."""
    # Otherwise the first line of the section would end that of the last test file: with an empty line below the title.
    screen.currentfspath = None
    screen.write_line("")
    screen.section(title)


def start_line(screen: Any) -> None:
    """Go to a new line of the screen, unless it is at the start of one."""
    screen.ensure_newline()
    # The letters of tests that workers of pytest-xdist ran are not known to the above.
    if screen._tw.width_of_current_line:
        screen._tw.line()
