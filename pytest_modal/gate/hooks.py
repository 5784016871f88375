"""Hooks that collect the records of gates, also from the workers of pytest-xdist."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modal.gate import ledger, summary
from pytest_modal.report.terminal import Screen


class GateHooks:
    """Registered when a test first requests ``accuracy_gate``, and in the controller of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._ledger = ledger.ledger_of(config)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        if report.when == "call" and report.skipped and ledger.CALLED in item.stash:
            item.stash[ledger.CALLED] = True
        if report.when == "teardown":
            if records := item.stash.get(ledger.RECORDS, []):
                setattr(report, ledger.REPORTED, ledger.pack(records))
            if not item.stash.get(ledger.CALLED, True):
                setattr(report, ledger.UNCALLED, True)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._ledger.note(report)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not hasattr(session.config, "workerinput"):
            summary.close(session, self._ledger)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Screen, config: pytest.Config) -> None:
        if not hasattr(config, "workerinput"):
            summary.show(terminalreporter, self._ledger)


def watch_gates(config: pytest.Config) -> None:
    """Collect the records of gates from now on."""
    if not config.pluginmanager.has_plugin("pytest_modal_gates"):
        config.pluginmanager.register(GateHooks(config), "pytest_modal_gates")
