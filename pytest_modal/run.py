"""Plan the selected tests, run the batch, keep its outcomes, and sum up."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_modal.artifacts import WRITTEN, Artifact, output_root
from pytest_modal.backends import Backend
from pytest_modal.backends.local import LocalBackend
from pytest_modal.batch import Batch
from pytest_modal.checking import check_batch
from pytest_modal.handout import PLAN, RESULTS
from pytest_modal.planning import Planner
from pytest_modal.report import terminal
from pytest_modal.report.lost_files import lost_file_lines
from pytest_modal.settings import SETTINGS, Settings
from pytest_modal.store import Results, SessionFacts, facts


def run_batch(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    """Run everything that the tests need from the GPU, before the first of them starts."""
    settings = config.stash[SETTINGS]
    screen = config.pluginmanager.get_plugin("terminalreporter")
    if settings.mode == "skip":
        for item in tests:
            item.add_marker(pytest.mark.skip(reason="GPU tests are skipped: --modal-mode=skip"))
        config.stash[RESULTS] = Results(settings.mode, Batch())
        if screen is not None:
            screen.write_line(f"modal: skip mode: {terminal.count(len(tests), 'GPU test')} skipped")
        return
    started = time.perf_counter()
    backend, batch = _plan(config, settings, tests)
    results = config.stash[RESULTS] = Results(backend.mode, batch)
    config.add_cleanup(results.close)
    results.seconds["plan"] = time.perf_counter() - started
    if screen is not None:
        terminal.announce(screen, backend.describe(), batch)
    if not batch.calls:
        return
    started = time.perf_counter()
    verbose = config.get_verbosity() > 0
    with terminal.live(screen, batch, verbose=verbose) as ticker:
        outcomes = backend.run(batch, results.encoded, ticker.progress)
        try:
            for outcome, value in outcomes:
                results.put(outcome, value)
                ticker.outcome(outcome)
        finally:
            # Ctrl-C arrives here: the generator ends its workers before pytest goes on.
            outcomes.close()  # type: ignore[attr-defined]
            results.seconds["run"] = time.perf_counter() - started
            results.app_id, results.dashboard_url = backend.app_id, backend.dashboard_url


def show_plan(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    """Print what would be sent, and send nothing."""
    backend, batch = _plan(config, config.stash[SETTINGS], tests)
    screen = config.pluginmanager.get_plugin("terminalreporter")
    if screen is not None:
        errors = [
            (item.nodeid, message)
            for item in tests
            if (plan := item.stash.get(PLAN, None)) is not None and (message := plan.error or plan.reason)
        ]
        terminal.print_plan(screen, backend.describe(), batch, errors)


def summarize(config: pytest.Config, screen: Any) -> None:
    """Write the terminal summary."""
    index = output_root(config) / "artifacts.json"
    listed: list[Artifact] = []
    if config.stash[WRITTEN] and index.exists():
        listed = json.loads(index.read_text(encoding="utf-8"))["artifacts"]
    if (results := config.stash.get(RESULTS, None)) is not None:
        for line in lost_file_lines(results):
            screen.write_line(line, yellow=True)
    shown = index.relative_to(config.rootpath).as_posix() if index.is_relative_to(config.rootpath) else str(index)
    terminal.summarize(screen, config.stash.get(RESULTS, None), listed, shown)


def session_facts(config: pytest.Config) -> SessionFacts:
    """Return the facts of the run for the fixture ``modal_session``."""
    results = config.stash.get(RESULTS, None)
    return facts(results) if results is not None else SessionFacts(config.stash[SETTINGS].mode, None, None, ())


def _plan(config: pytest.Config, settings: Settings, tests: Sequence[pytest.Item]) -> tuple[Backend, Batch]:
    backend = _backend(config, settings)
    planner = Planner(config.rootpath, settings.environment, mocks=settings.mode == "local")
    batch = planner.plan(tests)
    check_batch(config, tests, batch, planner.functions)
    return backend, batch


def _backend(config: pytest.Config, settings: Settings) -> Backend:
    if settings.mode != "modal":
        return LocalBackend(config.rootpath)
    from pytest_modal.backends.modal import ModalBackend

    return ModalBackend(config.rootpath, settings.session)
