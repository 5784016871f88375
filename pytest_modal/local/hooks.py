"""Hooks that collect what tests write, also from the workers of pytest-xdist."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_modal.local.output_dir import INDEX, collect, not_written_of, output_root, write_index, written_of


class ArtifactHooks:
    """Registered when a test first requests ``output_dir``, and in the controller of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        # The controller gets the reports of its workers.
        self._written = [] if hasattr(config, "workerinput") else written_of(config)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        if report.when == "teardown" and (written := collect(item)):
            report.modal_artifacts = written
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._written += vars(report).get("modal_artifacts", [])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if written := written_of(session.config):
            try:
                write_index(output_root(session.config), written)
            except OSError as error:
                not_written_of(session.config).append(f"{INDEX} was not written: {error}")
                written.clear()  # an index that is there is that of an earlier run


def watch_artifacts(config: pytest.Config) -> None:
    """Collect what tests write from now on."""
    if not config.pluginmanager.has_plugin("pytest_modal_artifacts"):
        config.pluginmanager.register(ArtifactHooks(config), "pytest_modal_artifacts")
