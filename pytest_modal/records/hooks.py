"""Hooks that collect the record of a run and write it, also from the workers of pytest-xdist."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from pytest_modal.local.output_dir import RUN, output_root
from pytest_modal.plan.garbage import without_collections
from pytest_modal.records.building import Course, build
from pytest_modal.records.junit import add_to_junit
from pytest_modal.records.reading import RecordError, read_record
from pytest_modal.records.renderers import prepared
from pytest_modal.records.reports import mark
from pytest_modal.records.writing import write_early, write_record
from pytest_modal.report.record import Record
from pytest_modal.run.xdist import controller_of, results_of_all
from pytest_modal.store.results import Results

_STARTED = "pytest_modal_started"  # of the input of a worker: when the whole run was started
_NAME = "pytest_modal_record"


class RecordHooks:
    """Registered if there is something to record, and in the controller of pytest-xdist."""

    def __init__(self, config: pytest.Config, started: float) -> None:
        self._config = config
        self._is_worker = hasattr(config, "workerinput")
        started = getattr(config, "workerinput", {}).get(_STARTED, started)
        self._course = Course(started, config.rootpath)
        if not (self._is_worker or config.pluginmanager.has_plugin("dsession")):
            _ = self._course.commit  # before tests change the tree; a controller may have nothing to record
        self._planned = False  # whether the batch was recorded before it ran

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[_STARTED] = self._course.started

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        report = yield
        mark(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self._is_worker:
            self._course.tests.add(report)

    def pytest_keyboard_interrupt(self) -> None:
        self._course.interrupted = True

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._course.interrupted = True
        self._course.internal = excinfo.exconly()

    # The files of the run are written by then, and the summary is not yet.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        if not self._is_worker:
            add_to_junit(self._config, self._course)
        done = yield
        if not self._is_worker:
            self._finish(session)
        return done

    @contextlib.contextmanager
    def noting(self) -> Generator[Callable[[Results], None], None, None]:
        """Return what records what is known of a run that goes on, in the block: before its batch runs, and after."""
        with prepared(self._config) as begin:
            yield functools.partial(self._note, begin)

    @without_collections()
    def _note(self, begin: Callable[[Record], None], results: Results) -> None:
        seconds = time.time() - self._course.started
        built = build(self._config, self._course, results, ending="unfinished", exit_status=None, seconds=seconds)
        record = write_early(self._config, self._course.id, built, whole=self._planned)
        if record is not None and not (self._planned or self._is_worker):
            begin(record)
        self._planned = True

    @without_collections()
    def _finish(self, session: pytest.Session) -> None:
        results = results_of_all(self._config)
        early = self._early() if results is None and controller_of(self._config) is not None else None
        if results is None and early is None and not self._course.tests:
            return
        built = build(
            self._config,
            self._course,
            results,
            ending="interrupted" if self._course.interrupted else "finished",
            exit_status=int(session.exitstatus),
            seconds=time.time() - self._course.started,
            early=early,
        )
        write_record(self._config, self._course.id, built)

    def _early(self) -> Record | None:
        """Return what a worker of pytest-xdist has recorded of a batch that was cut short."""
        try:
            record = read_record(output_root(self._config) / RUN)
        except (RecordError, pytest.UsageError):
            return None
        return record if record["id"] == self._course.id else None


def watch_record(config: pytest.Config, started: float) -> RecordHooks:
    """Record the run, which was started at a time in seconds since 1970."""
    hooks: RecordHooks | None = config.pluginmanager.get_plugin(_NAME)
    if hooks is None:
        hooks = RecordHooks(config, started)
        config.pluginmanager.register(hooks, _NAME)
        if config.pluginmanager.has_plugin("html"):
            from pytest_modal.records.html_extras import watch_html

            watch_html(config)
    return hooks
