"""Tests of a run as its record has them, from pytest's reports."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import pytest

from pytest_modal.code.places import is_local
from pytest_modal.local.output_dir import ARTIFACTS
from pytest_modal.plan.selection import is_marked
from pytest_modal.plan.state import plan_of
from pytest_modal.report.record import PhaseEntry, TestEntry
from pytest_modal.wording import safe_line, shown_path

REPORTED = "modal_record"  # of a report, which may come from a worker of pytest-xdist
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
NOT_FINISHED = "not finished"
_PHASES = ("setup", "call", "teardown")
_LONGEST_MESSAGE = 500
_MODULES = re.compile(r"^(?:\w+\.)+(?=\w+(?::|$))")  # before the name of an exception
_OF_CALLS = ("modal stdout", "modal stderr")  # in the names of sections with what calls have printed


class Reported(TypedDict):
    """What a report says besides what it shows: that its test is one of ours, and where it failed."""

    failed_at: tuple[str, int] | None


_PASSED = Reported(failed_at=None)


def mark(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Have a report say that its test belongs into the record, if it has a part of this plugin in it."""
    planned = plan_of(item) is not None or is_marked(item)
    if not (planned or ARTIFACTS in item.stash):
        return
    failed_at = _failed_at(call, item.config.rootpath)
    # Of a test that is planned, that of its setup says it for all: pytest keeps every report.
    if not planned or call.when == "setup" or failed_at is not None:
        setattr(report, REPORTED, _PASSED if failed_at is None else Reported(failed_at=failed_at))


def _failed_at(call: pytest.CallInfo[None], rootdir: Path) -> tuple[str, int] | None:
    for entry in reversed(call.excinfo.traceback if call.excinfo is not None else ()):
        path = Path(entry.path)
        is_own = str(entry.frame.f_globals.get("__name__")).startswith("pytest_modal.")
        if not is_own and path.is_relative_to(rootdir) and is_local(path, rootdir):
            return shown_path(path, rootdir), entry.lineno + 1
    return None


class ReportedTests:
    """Collects the entries of tests; those without a part of this plugin are forgotten when they end."""

    def __init__(self) -> None:
        self.outcomes = Counter[str]()
        self._open: dict[str, list[pytest.TestReport]] = {}
        self._ended: dict[str, TestEntry] = {}

    def __bool__(self) -> bool:
        return bool(self._ended) or any(map(_is_ours, self._open.values()))

    def add(self, report: pytest.TestReport) -> None:
        """Take the next report of a test; those of a test that runs again replace what there was."""
        test = report.nodeid
        if report.when == "setup":
            self._open[test] = []
        reports = self._open.setdefault(test, [])
        reports.append(report)
        # A worker of pytest-xdist that crashes leaves a report of no phase.
        if report.when == "teardown" or report.when not in _PHASES:
            del self._open[test]
            self.outcomes[_outcome(reports)] += 1
            if _is_ours(reports) or report.when not in _PHASES:
                self._ended[test] = _entry(reports, ended=True)

    def entries(self, calls: Mapping[str, list[str]]) -> list[TestEntry]:
        """Return all entries; `calls` are the keys of the calls of each test in the batch."""
        entries = dict(self._ended)
        for test, reports in self._open.items():
            if test in calls or _is_ours(reports):
                entries[test] = _entry(reports, ended=False)
        for test in calls:
            entries.setdefault(test, _unknown(test))
        for test, entry in entries.items():
            entry["calls"] = calls.get(test, [])
        return [*entries.values()]


def calls_of_tests(calls: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the keys of calls by the tests that need them."""
    found: dict[str, list[str]] = {}
    for call in calls:
        for test in call["tests"]:
            found.setdefault(test, []).append(call["key"])
    return found


def _is_ours(reports: Iterable[pytest.TestReport]) -> bool:
    return any(hasattr(report, REPORTED) for report in reports)


def _entry(reports: list[pytest.TestReport], *, ended: bool) -> TestEntry:
    file, line, _ = reports[0].location
    telling = next((each for each in reports if each.outcome != "passed"), reports[-1])
    return TestEntry(
        nodeid=reports[0].nodeid,
        file=file.replace(os.sep, "/"),
        line=(line or 0) + 1,
        outcome=_outcome(reports) if ended else NOT_FINISHED,
        seconds=sum(each.duration for each in reports),
        message=_message(telling),
        failed_at=_place(telling) if telling.failed else None,
        phases=[_phase(each) for each in reports],
        calls=[],
    )


def _unknown(test: str) -> TestEntry:
    """Return the entry of a test that has not begun."""
    return TestEntry(
        nodeid=test,
        file=test.partition("::")[0],
        line=1,
        outcome=NOT_FINISHED,
        seconds=0.0,
        message="",
        failed_at=None,
        phases=[],
        calls=[],
    )


def _outcome(reports: Iterable[pytest.TestReport]) -> str:
    outcome = "passed"
    for report in reports:
        if report.failed:
            return "error" if report.when in ("setup", "teardown") else "failed"
        if report.skipped:
            outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
        elif hasattr(report, "wasxfail") and report.when == "call":
            outcome = "xpassed"
    return outcome


def _message(report: pytest.TestReport) -> str:
    if failure := vars(report).get("modal_failure"):
        return safe_line(failure["headline"], _LONGEST_MESSAGE)
    if hasattr(report, "wasxfail"):
        return safe_line(str(report.wasxfail).removeprefix("reason: "), _LONGEST_MESSAGE)
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return safe_line(str(report.longrepr[2]).removeprefix("Skipped: "), _LONGEST_MESSAGE)
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else report.longreprtext
    return safe_line(_MODULES.sub("", text.strip().partition("\n")[0]), _LONGEST_MESSAGE)


def _place(report: pytest.TestReport) -> tuple[str, int] | None:
    if failure := vars(report).get("modal_failure"):
        return failure["path"], failure["line"]
    reported: Reported = vars(report).get(REPORTED, _PASSED)
    place = reported["failed_at"]
    return None if place is None else (place[0], place[1])


def _phase(report: pytest.TestReport) -> PhaseEntry:
    end = f" {report.when}"
    return PhaseEntry(
        when=report.when or "",
        outcome=report.outcome,
        seconds=report.duration,
        text="" if report.passed else _text(report),
        # A report repeats the sections of the phases before.
        sections=[
            (name, text)
            for name, text in report.sections
            if name.endswith(end) and not any(each in name for each in _OF_CALLS)
        ],
    )


def _text(report: pytest.TestReport) -> str:
    return _message(report) if isinstance(report.longrepr, tuple) else report.longreprtext
