"""Causes of failures: the first test that fails for one carries the whole text, the others point to that test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import pytest

from pytest_modal._pytest_compat import Failed, put_failure
from pytest_modal.batch.digest import digest_of
from pytest_modal.plan.failures import verdict_of
from pytest_modal.wording import safe_line

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome
    from pytest_modal.store.results import Results

SHOWN = 5  # tests that are reported one by one after the first that failed for the same cause
_REPORTED = "modal_failure"  # of a report, which may come from a worker of pytest-xdist
_CATEGORIES = ("error", "failed")


class ReportedFailure(TypedDict):
    """Why a test failed.

    Attributes
    ----------
    cause : str
        Equal for tests that failed for the same cause.
    headline : str
        One line that leads with what is new.
    path : str
        Where to look, with `line`.
    """

    cause: str
    headline: str
    path: str
    line: int


_RAISED = pytest.StashKey[tuple[BaseException, ReportedFailure]]()


def failure_for(
    item: pytest.Item,
    results: Results,
    outcomes: Sequence[Outcome],
    hints: Iterable[str],
    kind: type[Failed],
) -> Failed:
    """Return the exception that fails a test for calls that failed; hints follow their explanations."""
    from pytest_modal.report.failures import cause_of, explain, explain_assertion, headline, location_of

    brief = item.config.getoption("tbstyle", "auto") == "short"
    path, line = location_of(results, outcomes[0], item.config.rootpath)
    failure = ReportedFailure(
        cause=digest_of(*sorted({cause_of(outcome) for outcome in outcomes})),
        headline="; ".join(dict.fromkeys(headline(results, outcome) for outcome in outcomes)),
        path=path,
        line=line,
    )
    explained = [
        explain_assertion(results, outcome, brief=brief)
        if verdict_of(outcome) == "failed"
        else explain(results, outcome, brief=brief)
        for outcome in outcomes
    ]
    error = kind("\n\n".join([*explained, *hints]), pytrace=False)
    item.stash[_RAISED] = error, failure
    return error


def describe(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Put a failure into a test's report in the style of ``--tb``, and its cause beside it."""
    if not report.failed or call.excinfo is None:
        return
    error = call.excinfo.value
    raised, failure = item.stash.get(_RAISED, (None, None))
    text = str(error)
    if error is not raised:
        # Refusals are three parts too; a test's own `pytest.fail` is left alone.
        if not isinstance(error, pytest.fail.Exception) or error.pytrace or "\n  what to do: " not in text:
            return
        failure = _refusal(item, text)
    assert failure is not None, "it is kept with the exception"
    style = item.config.getoption("tbstyle", "auto")
    if style == "line":
        text = f"{failure['path']}:{failure['line']}: {failure['headline']}"
    elif style == "short" and error is not raised:
        text = text.partition("\n\n")[0]
    _put(report, text, failure)
    setattr(report, _REPORTED, failure)


def _refusal(item: pytest.Item, text: str) -> ReportedFailure:
    path, line, _ = item.location
    return ReportedFailure(
        # The same mistake in each parametrization is one.
        cause=digest_of(text.replace(item.nodeid, "")),
        headline=safe_line(text.partition("\n")[0]),
        path=path,
        line=(line or 0) + 1,
    )


def _put(report: pytest.TestReport, text: str, failure: ReportedFailure, message: str = "") -> None:
    put_failure(report, text, failure["path"], failure["line"], message or failure["headline"])


class CauseHooks:
    """Registered where reports are shown; those of pytest-xdist's workers arrive there too."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._first: dict[str, str] = {}
        self._printed: set[tuple[str, str]] = set()
        self._whole: dict[str, Any] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        failure = vars(report).get(_REPORTED)
        if failure is None or not report.failed:
            return
        first = self._first.setdefault(failure["cause"], report.nodeid)
        if first != report.nodeid:
            headline = failure["headline"]
            _put(report, f"as in {first}: {headline}", failure, f"{headline}, as in {first}")
        sections, report.sections = report.sections, []
        for name, content in sections:
            printed = (failure["cause"], content)
            if first == report.nodeid or "modal std" not in name or printed not in self._printed:
                report.sections.append((name, content))
            self._printed.add(printed)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, Any, Any]:
        self.fold(terminalreporter)
        try:
            return (yield)
        finally:
            self.unfold(terminalreporter)

    def fold(self, screen: Any) -> None:
        """Have pytest print a line in place of many reports that say the same."""
        if self._config.get_verbosity() >= 2:
            return
        for category in _CATEGORIES:
            if category in screen.stats:
                self._whole[category] = screen.stats[category]
                screen.stats[category] = self._folded(screen.stats[category])

    def unfold(self, screen: Any) -> None:
        """Give pytest and other plugins all reports again."""
        screen.stats.update(self._whole)
        self._whole.clear()

    def _folded(self, reports: Sequence[Any]) -> list[Any]:
        followers: dict[str, list[pytest.TestReport]] = {}
        for report in reports:
            failure = vars(report).get(_REPORTED)
            if failure is not None and report.nodeid != self._first.get(failure["cause"]):
                followers.setdefault(failure["cause"], []).append(report)
        left_out = {id(report): cause for cause, alike in followers.items() for report in alike[SHOWN:]}
        shown: list[Any] = []
        for report in reports:
            cause = left_out.get(id(report))
            if cause is None:
                shown.append(report)
            elif report is followers[cause][SHOWN]:
                shown.append(self._rest(cause, followers[cause][SHOWN:]))
        return shown

    def _rest(self, cause: str, reports: Sequence[pytest.TestReport]) -> pytest.TestReport:
        """Return a report that stands for several."""
        if len(reports) == 1:
            return reports[0]
        paths = {report.nodeid.partition("::")[0] for report in reports}
        path = Path(os.path.commonpath(paths)).as_posix() if len(paths) > 1 else paths.pop()
        more = f"{len(reports):,} more tests"
        line = f"as in {self._first[cause]}"
        rest = pytest.TestReport(
            nodeid=f"{path} ({more})" if path != "." else more,
            location=(path, None, more),
            keywords={},
            outcome="failed",
            longrepr=None,
            when=reports[0].when,
        )
        _put(rest, line, vars(reports[0])[_REPORTED], line)
        return rest


class OtherSummaries:
    """Registered beside `CauseHooks`: the summaries that other plugins write see all reports."""

    def __init__(self, causes: CauseHooks) -> None:
        self._causes = causes

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, Any, Any]:
        self._causes.unfold(terminalreporter)
        try:
            return (yield)
        finally:
            self._causes.fold(terminalreporter)


def watch_causes(config: pytest.Config) -> None:
    """Report each cause once from now on."""
    causes = CauseHooks(config)
    config.pluginmanager.register(causes, "pytest_modal_causes")
    config.pluginmanager.register(OtherSummaries(causes), "pytest_modal_other_summaries")
