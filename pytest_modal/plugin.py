"""Options, hooks and fixtures; everything else is imported when a GPU test was selected."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modal.declare import options
from pytest_modal.declare.marker import MARKER
from pytest_modal.declare.remote_function import any_remote_fixture
from pytest_modal.declare.settings import SETTINGS

if TYPE_CHECKING:
    import pandas

    from pytest_modal.gate.fixture import AccuracyGate
    from pytest_modal.records.hooks import RecordHooks
    from pytest_modal.report.terminal import Screen

_STARTED = pytest.StashKey[float]()
# EX_SOFTWARE of sysexits.h; 0 to 7 are pytest's and its plugins'.
INFRASTRUCTURE_ERROR = 70


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*, function=None, args={{}}, mock=None, shard=None, **environment): "
        "the test needs results from a GPU; with function=, its result is the fixture modal_result.",
    )
    config.stash[SETTINGS] = options.resolve(config)
    config.stash[_STARTED] = time.time()
    if config.getoption("modal_plan"):
        from pytest_modal.run.xdist import without_workers

        without_workers(config)
    if config.getoption("modal_clean"):
        from pytest_modal.local.clean import watch_clean

        watch_clean(config)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    if getattr(obj, "pytestmark", None):
        from pytest_modal.plan.collection import request_parameters

        request_parameters(collector, obj)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if report.passed and (report.result or isinstance(collector, pytest.Module)):
        from pytest_modal.plan.collection import check_collected

        check_collected(collector, report)
    return report


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        from pytest_modal.plan.selection import DESELECTED

        items[0].config.stash.setdefault(DESELECTED, []).extend(items)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    from pytest_modal.plan.selection import gpu_tests

    if any_remote_fixture():
        session.config.pluginmanager.register(ContainerFixtureHooks(), "pytest_modal_container_fixtures")
        from pytest_modal.plan.lookups import look_values_up

        look_values_up(session)
    if tests := gpu_tests(session):
        session.config.pluginmanager.register(GpuTestHooks(), "pytest_modal_gpu_tests")
        watch_infrastructure(session.config)
        watch_summary(session.config)
        from pytest_modal.run.runner import run_batch, show_plan
        from pytest_modal.run.signals import watch_signals

        watch_signals(session.config)
        if session.config.getoption("modal_plan"):
            show_plan(session.config, tests)
        else:
            with watch_run(session.config).noting() as noted:
                run_batch(session.config, tests, noted)
    if session.config.getoption("modal_plan"):
        session.items.clear()
    ended = yield
    if tests and session.items:
        from pytest_modal.gate.confirmation import confirm

        confirm(session)
    return ended


class GpuTestHooks:
    """Registered when GPU tests were selected: other suites don't pay for them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        from pytest_modal.gate import body_runs
        from pytest_modal.plan import rounds

        return body_runs.run(item, nextitem) if rounds.is_gated(item) else None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        from pytest_modal.local.setup import check_item

        check_item(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        from pytest_modal.local.verdicts import raise_held

        raise_held(item)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        from pytest_modal.local.setup import warn_of_teardowns

        warn_of_teardowns(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        from pytest_modal.local.causes import describe
        from pytest_modal.local.setup import fell_with_infrastructure, skip_reason

        report = yield
        describe(item, call, report)
        if report.failed and fell_with_infrastructure(item):
            report.modal_infrastructure = True
        if (reason := skip_reason(item, report)) is not None:
            report.modal_skipped = reason
        return report


class ContainerFixtureHooks:
    """Registered if remote fixtures were declared: a test that got a container fixture's placeholder must not pass."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_modal.local.setup import check_container_fixtures
        from pytest_modal.local.values import check_lent

        done = yield
        check_container_fixtures(item)
        check_lent(item)
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        from pytest_modal.local.setup import check_container_fixtures

        done = yield
        check_container_fixtures(item)
        return done


class InfrastructureHooks:
    """Registered where the exit status of the whole run is decided: it shows that only the infrastructure failed."""

    def __init__(self) -> None:
        self._errors = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._errors += bool(report.failed and vars(report).get("modal_infrastructure"))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self._errors and self._errors == session.testsfailed:
            session.exitstatus = INFRASTRUCTURE_ERROR


def watch_infrastructure(config: pytest.Config) -> None:
    """Set another exit status if nothing but the infrastructure failed, and report each cause once."""
    if not hasattr(config, "workerinput"):
        from pytest_modal.local.causes import watch_causes

        config.pluginmanager.register(InfrastructureHooks(), "pytest_modal_infrastructure")
        watch_causes(config)


class SummaryHooks:
    """Registered if there is something to sum up: GPU tests were selected, or a test has written files."""

    def __init__(self) -> None:
        self._skipped = Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (reason := vars(report).get("modal_skipped")) is not None:
            self._skipped[reason] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from pytest_modal.run.xdist import results_of_all

        results = results_of_all(session.config)
        if results is not None and results.run.cost is not None:
            from pytest_modal.run.costs import add_to_junit

            add_to_junit(session.config, results.run.cost)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Screen, config: pytest.Config) -> None:
        from pytest_modal.local.output_dir import not_written_of, read_index
        from pytest_modal.records.renderers import page_of
        from pytest_modal.report import terminal
        from pytest_modal.run.xdist import results_of_all
        from pytest_modal.wording import shown_path

        results = results_of_all(config)
        listed, shown = read_index(config)
        if results is not None and not (self._skipped or terminal.has_news(results)):
            results = None
        not_written, page = not_written_of(config), page_of(config)
        if results is not None or listed or self._skipped or not_written:
            terminal.summarize(
                terminalreporter,
                results,
                listed,
                shown,
                not_written=not_written,
                skipped=self._skipped,
                page=shown_path(page, config.rootpath) if page is not None else "",
                verbosity=config.get_verbosity(),
            )


def watch_summary(config: pytest.Config) -> None:
    """Sum up at the end of the run; nobody sees the terminals of pytest-xdist's workers."""
    if not hasattr(config, "workerinput") and not config.pluginmanager.has_plugin("pytest_modal_summary"):
        config.pluginmanager.register(SummaryHooks(), "pytest_modal_summary")


def watch_run(config: pytest.Config) -> RecordHooks:
    """Record the run."""
    from pytest_modal.records.hooks import watch_record

    return watch_record(config, config.stash[_STARTED])


def pytest_sessionstart(session: pytest.Session) -> None:
    # The controller of pytest-xdist, which runs no test itself.
    if session.config.pluginmanager.has_plugin("dsession"):
        from pytest_modal.gate.hooks import watch_gates
        from pytest_modal.local.hooks import watch_artifacts
        from pytest_modal.run.signals import watch_signals
        from pytest_modal.run.xdist import watch_workers

        watch_signals(session.config)
        watch_summary(session.config)
        watch_artifacts(session.config)
        watch_infrastructure(session.config)
        watch_gates(session.config)
        watch_workers(session.config)
        watch_run(session.config)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.getoption("modal_plan"):
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture
def modal_result(request: pytest.FixtureRequest) -> Any:
    """The result of the function that the test's ``modal_gpu`` marker names."""
    __tracebackhide__ = True
    from pytest_modal.local.values import marked_value
    from pytest_modal.plan.remote_fixtures import marker_of

    return marked_value(request.node, marker_of(request.node).remote)


@pytest.fixture
def output_dir(request: pytest.FixtureRequest) -> Path:
    """This test's own directory, emptied when the test first requests it."""
    from pytest_modal.local.hooks import watch_artifacts
    from pytest_modal.local.output_dir import own_directory

    watch_summary(request.config)
    watch_artifacts(request.config)
    watch_run(request.config)
    return own_directory(request.node)


@pytest.fixture
def save_csv(request: pytest.FixtureRequest, output_dir: Path) -> Callable[..., pandas.DataFrame]:
    """``save_csv(name, rows, **to_csv)`` writes a table into ``output_dir`` and returns the DataFrame."""
    from pytest_modal.local.saver import saver, writer

    into = saver(request.node, output_dir)
    return writer("save_csv", into.csv, into)


@pytest.fixture
def save_figure(request: pytest.FixtureRequest, output_dir: Path) -> Iterator[Callable[..., Path]]:
    """``save_figure(name, figure=None, dpi=300, **savefig)`` writes a figure into ``output_dir`` and closes it."""
    from pytest_modal.local.saver import open_figures, saver, writer

    before, into = open_figures(), saver(request.node, output_dir)
    yield writer("save_figure", into.figure, into)
    # What this test left open, perhaps because it failed, would be the current figure of the next one.
    for number in open_figures() - before:
        sys.modules["matplotlib.pyplot"].close(number)


@pytest.fixture
def save_json(request: pytest.FixtureRequest, output_dir: Path) -> Callable[..., Path]:
    """``save_json(name, data)`` writes data, numpy's too, as JSON into ``output_dir``."""
    from pytest_modal.local.saver import saver, writer

    into = saver(request.node, output_dir)
    return writer("save_json", into.json, into)


@pytest.fixture
def accuracy_gate(request: pytest.FixtureRequest, output_dir: Path) -> AccuracyGate:
    """``accuracy_gate(name, rows, ...)`` compares per-item results with the committed baseline of that name."""
    from pytest_modal.gate.fixture import AccuracyGate
    from pytest_modal.gate.hooks import watch_gates
    from pytest_modal.local.saver import saver

    watch_gates(request.config)
    return AccuracyGate(request.node, saver(request.node, output_dir))


@pytest.fixture(scope="session")
def modal_session(request: pytest.FixtureRequest) -> Any:
    """Facts of the run: ``mode``, ``app_id``, ``dashboard_url``, and per call in ``calls``."""
    from pytest_modal.local.session_facts import session_facts

    return session_facts(request.config)
