"""Every private name of pytest that the plugin uses. `tests/test_pytest_compat.py` holds the contract."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntry, ReprFileLocation, ReprTraceback
from _pytest.compat import NOTSET
from _pytest.config.findpaths import locate_config
from _pytest.doctest import DoctestModule, DoctestTextfile
from _pytest.fixtures import FixtureLookupErrorRepr, SubRequest
from _pytest.junitxml import xml_key
from _pytest.outcomes import Failed as Failed
from _pytest.runner import runtestprotocol
from _pytest.scope import Scope
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

FixtureDef = pytest.FixtureDef[Any]
NOTHING = object()
PARAMETRIZED = "get_direct_param_fixture_func"
# Of pytest's fixture manager: dicts by the names of fixtures; the first in older versions, the others in newer ones.
_KNOWN_FIXTURES = ("_arg2fixturedefs", "_arg2node2fixturedefs", "_arg2nodeid2fixturedefs")
CURRENT_TEST = "PYTEST_CURRENT_TEST"


def add_suite_property(config: pytest.Config, name: str, value: str) -> None:
    """Add a property of the whole run to the JUnit report, if one is written."""
    if (report := config.stash.get(xml_key, None)) is not None:
        report.add_global_property(name, value)


def item_of(request: pytest.FixtureRequest) -> pytest.Function:
    """Return the test for which a fixture of any scope is being set up."""
    return request._pyfuncitem


def own_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the fixtures that the test function itself names as parameters."""
    return tuple(item._fixtureinfo.argnames)


def initial_names(item: pytest.Function) -> tuple[str, ...]:
    """Return the fixtures that a test requests: parameters, ``usefixtures``, autouse."""
    return tuple(item._fixtureinfo.initialnames)


def fixture_chain(item: pytest.Function, name: str) -> Sequence[FixtureDef]:
    """Return the definitions of a fixture that the test can see, the nearest last."""
    known = item._fixtureinfo.name2fixturedefs.get(name)
    return known or item.session._fixturemanager.getfixturedefs(name, item) or ()


def is_parametrized(fixturedef: FixtureDef) -> bool:
    """Whether it is the pseudo fixture of a value from ``parametrize``."""
    return getattr(fixturedef.func, "__name__", "") == PARAMETRIZED


def param_of(item: pytest.Function, name: str) -> object:
    """Return the parametrized value of a name, or `NOTHING`."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name, NOTHING) if callspec is not None else NOTHING


def nearest_marks(item: pytest.Item, name: str) -> list[pytest.Mark]:
    """Return the marks of a test, the nearest first: those of its parameters, its function, its classes, its module."""
    # pytest puts those of the parameters behind those of the function.
    of_parameters = getattr(getattr(item, "callspec", None), "marks", ())
    return sorted(item.iter_markers(name), key=lambda mark: not any(mark is each for each in of_parameters))


def collects_doctests(collector: pytest.Collector) -> bool:
    """Whether it collects the doctests of a module or of a text file, which pytest takes for a module as well."""
    return isinstance(collector, DoctestModule | DoctestTextfile)


def visible_fixtures(item: pytest.Item) -> list[str]:
    """Return the names of all fixtures that a test can request."""
    manager, parent = item.session._fixturemanager, item.parent
    known = {name for attribute in _KNOWN_FIXTURES for name in getattr(manager, attribute, ())}
    return sorted(name for name in known if parent is not None and manager.getfixturedefs(name, parent))


def active_fixtures(item: pytest.Item) -> dict[str, FixtureDef]:
    """Return the fixtures that a test has requested, also by ``request.getfixturevalue``."""
    return getattr(getattr(item, "_request", None), "_fixture_defs", {})


def fixture_not_found(request: pytest.FixtureRequest, name: str, hint: str) -> pytest.FixtureLookupError:
    """Return the error that pytest raises where a fixture is requested that doesn't exist, with a hint below it."""
    error = pytest.FixtureLookupError(name, request)
    original = error.formatrepr

    def formatrepr() -> FixtureLookupErrorRepr:
        shown = original()
        if hint:
            first, newline, rest = shown.errorstring.partition("\n")
            shown.errorstring = f"{first}\n {hint}{newline}{rest}"
        return shown

    vars(error)["formatrepr"] = formatrepr
    return error


def value_of(item: pytest.Function, name: str) -> object:
    """Return the value of a fixture that a test needs, as the test itself would get it."""
    return item._request.getfixturevalue(name)


def params_of(item: pytest.Function) -> Mapping[str, object]:
    """Return all parametrized values of a test, in the order in which they stand in its id."""
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def ids_of(item: pytest.Function) -> Sequence[str]:
    """Return the parts of a test's id: one for each parametrization, hidden ones left out."""
    callspec = getattr(item, "callspec", None)
    return tuple(callspec._idlist) if callspec is not None else ()


def position_of(item: pytest.Function) -> tuple[int, ...]:
    """Return where a test stands among those that its function was parametrized into."""
    callspec = getattr(item, "callspec", None)
    return tuple(callspec.indices.values()) if callspec is not None else ()


def outlives(item: pytest.Function, one: FixtureDef, other: FixtureDef) -> bool:
    """Whether a test gets one fixture in a wider scope than the other has, so that it may not request it."""
    # A parametrization may have set a scope of its own for the one that requests.
    scopes = getattr(getattr(item, "callspec", None), "_arg2scope", {})
    scope: Scope = scopes.get(one.argname, Scope(one.scope))
    return scope > Scope(other.scope)


def definitions_for(items: Iterable[pytest.Item]) -> Iterator[FixtureDef]:
    """Yield the definitions of the fixtures that tests need by name, overridden ones included, each once."""
    seen: set[FixtureDef] = set()
    for item in items:
        if isinstance(item, pytest.Function):
            for found in item._fixtureinfo.name2fixturedefs.values():
                new = [each for each in found if each not in seen]
                seen.update(new)
                yield from new


def request_nothing(fixturedef: FixtureDef) -> None:
    """Let a fixture be set up without the fixtures that it names; those stay among what its tests request."""
    fixturedef.argnames = ("request",)  # type: ignore[misc]


def cache_by(fixturedef: FixtureDef, key: Callable[[pytest.Function], object]) -> None:
    """Set a fixture up again for a test with another key, whatever its scope is, and what depends on it too."""
    usual = fixturedef.cache_key
    fixturedef.cache_key = lambda request: (usual(request), key(item_of(request)))  # type: ignore[method-assign]


def autouse(item: pytest.Function) -> list[str]:
    """Return the autouse fixtures that the test gets."""
    return list(item.session._fixturemanager._getautousenames(item))


def session_autouse(item: pytest.Function) -> list[str]:
    """Return the autouse fixtures of session scope that the test gets."""
    names = autouse(item)
    return [name for name in names if (chain := fixture_chain(item, name)) and chain[-1].scope == "session"]


def sends_nothing(item: pytest.Item) -> bool:
    """Whether marks say that the test will not run."""
    try:
        if evaluate_skip_marks(item) is not None:
            return True
        xfailed = evaluate_xfail_marks(item)
    except (Exception, pytest.fail.Exception):
        return True  # a mark that can't be evaluated is an error at the test's setup
    return xfailed is not None and not xfailed.run and not item.config.option.runxfail


def condition_that_skips(item: pytest.Item) -> str | None:
    """Return the reason of a ``skipif`` that skips a test; None for a test that runs, or is skipped in any case."""
    if next(item.iter_markers("skip"), None) is not None:
        return None
    try:
        skipped = evaluate_skip_marks(item)
    except (Exception, pytest.fail.Exception):
        return None
    return skipped.reason if skipped is not None else None


def is_set_up(item: pytest.Function, name: str) -> bool:
    """Whether a test gets a fixture without any code being run."""
    chain = fixture_chain(item, name)
    if not chain or chain[-1].cached_result is None or param_of(item, name) is not NOTHING:
        return False
    return all(each == "request" or is_set_up(item, each) for each in chain[-1].argnames if each != name)


def keep_exception(fixturedef: FixtureDef, request: pytest.FixtureRequest, error: BaseException) -> None:
    """Raise an exception of a fixture again for each test that requests it.

    pytest keeps one such as SystemExit not, and then can't set the fixture up again.
    """
    if fixturedef.cached_result is None:
        key = fixturedef.cache_key(request)  # type: ignore[arg-type]
        fixturedef.cached_result = None, key, (error, error.__traceback__)


@contextlib.contextmanager
def active(
    item: pytest.Function, following: pytest.Function | None, tear_down: Callable[[Callable[[], None]], None]
) -> Iterator[pytest.FixtureRequest]:
    """Make it possible to resolve fixtures for a test without setting it up.

    Afterwards the test is as new. Fixtures that the `following` test shares stay; without one, everything
    below session scope is torn down: by `tear_down`, where that runs code.
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
            rest = partial(_tear_down, state.stack, chain)
            has_code = any(finalizers for node, (finalizers, _) in state.stack.items() if node not in chain)
            try:
                tear_down(rest) if has_code else rest()
            finally:
                item._initrequest()


def _tear_down(stack: dict[Any, tuple[list[Callable[[], object]], Any]], chain: Sequence[object]) -> None:
    """Finish what belongs to nodes outside of a chain.

    pytest stops in the middle at an exception such as SystemExit, and could set nothing up again that was left there.
    """
    errors: list[BaseException] = []
    while [*stack] != chain[: len(stack)]:
        _, (finalizers, _) = stack.popitem()
        while finalizers:
            try:
                finalizers.pop()()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                errors.append(error)
    if errors:
        raise errors[0]


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


def request_for(
    request: pytest.FixtureRequest, fixturedef: FixtureDef, param: object = NOTHING, scope: str = ""
) -> pytest.FixtureRequest:
    """Return the request that a fixture's function would see, without running it.

    It resolves the values that pytest would pass to that function: overrides and scopes included. Another `scope` than
    that of the fixture decides what it may request.
    """
    value = NOTSET if param is NOTHING else param
    return SubRequest(request, Scope(scope or fixturedef.scope), value, 0, fixturedef, _ispytest=True)


def run_silently(item: pytest.Item, following: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test as if for the first time, and return its reports instead of logging them."""
    item._report_sections.clear()
    return runtestprotocol(item, log=False, nextitem=following)


def come_back_to(item: pytest.Item) -> None:
    """Make a worker of pytest-xdist assign the next reports to this test, after it has run others."""
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


def width_of(screen: Any) -> int:
    """Return how many columns pytest's screen has; 0 where it has none, as in a worker of pytest-xdist."""
    return int(getattr(getattr(screen, "_tw", None), "fullwidth", 0))


def has_colours(screen: Any) -> bool:
    """Whether pytest writes to its screen in colours: ``--color``, ``NO_COLOR``, the kind of terminal."""
    return bool(getattr(getattr(screen, "_tw", None), "hasmarkup", False))


def shows_logs(config: pytest.Config) -> bool:
    """Whether pytest writes log records to the terminal as they come."""
    return bool(config.getini("log_cli")) or config.getoption("--log-cli-level", None) is not None


def project_of(directory: Path) -> tuple[Path, dict[str, object]]:
    """Return the rootdir of the project that a directory is in, and its ini, as pytest finds them when started there.

    Where there is no configuration, or a wrong one, of which pytest says what is wrong, it is the directory itself.
    """
    try:
        rootdir, _, values, *_ = locate_config(directory, [])
    except pytest.UsageError:
        return directory, {}
    return rootdir or directory, {name: getattr(value, "value", value) for name, value in values.items()}


def cache_root(config: pytest.Config) -> Path:
    """Return the directory of pytest's cache, of which ``--cache-clear`` deletes parts only."""
    assert config.cache is not None
    return config.cache._cachedir


def skip_at_item(reason: str) -> NoReturn:
    """Skip a test; the place that is reported is the test's."""
    raise pytest.skip.Exception(reason, _use_item_location=True)
