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
from pytest_modal.gate.passes import is_gated
from pytest_modal.handout import PLAN, RESULTS
from pytest_modal.planning import Planner
from pytest_modal.report import terminal
from pytest_modal.rounds import add_rounds, costs
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
    if settings.gates.updating and (gated := [item for item in tests if is_gated(item)]):
        add_rounds(batch, gated, settings.gates.rounds)
    results = config.stash[RESULTS] = Results(backend.mode, batch)
    config.add_cleanup(results.close)
    results.seconds["plan"] = time.perf_counter() - started
    if screen is not None:
        terminal.announce(screen, backend.describe(), batch)
    if batch.calls:
        compute(config, backend, results)


def compute(config: pytest.Config, backend: Backend, results: Results) -> None:
    """Run the batch of some results in one session, showing how it goes on."""
    started = time.perf_counter()
    screen = config.pluginmanager.get_plugin("terminalreporter")
    verbose = config.get_verbosity() > 0
    with terminal.live(screen, results.batch, verbose=verbose) as ticker:
        outcomes = backend.run(results.batch, results.encoded, ticker.progress)
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
        notes = costs(batch, [item for item in tests if is_gated(item)], config.stash[SETTINGS].gates)
        terminal.print_plan(screen, backend.describe(), batch, errors, notes)


def summarize(config: pytest.Config, screen: Any) -> None:
    """Write the terminal summary."""
    index = output_root(config) / "artifacts.json"
    listed: list[Artifact] = []
    if config.stash[WRITTEN] and index.exists():
        listed = json.loads(index.read_text(encoding="utf-8"))["artifacts"]
    shown = index.relative_to(config.rootpath).as_posix() if index.is_relative_to(config.rootpath) else str(index)
    terminal.summarize(screen, config.stash.get(RESULTS, None), listed, shown)


def session_facts(config: pytest.Config) -> SessionFacts:
    """Return the facts of the run for the fixture ``modal_session``."""
    results = config.stash.get(RESULTS, None)
    return facts(results) if results is not None else SessionFacts(config.stash[SETTINGS].mode, None, None, ())


def _plan(config: pytest.Config, settings: Settings, tests: Sequence[pytest.Item]) -> tuple[Backend, Batch]:
    backend = backend_of(config, settings)
    planner = Planner(config.rootpath, settings.environment, mocks=settings.mode == "local")
    return backend, planner.plan(tests)


def backend_of(config: pytest.Config, settings: Settings) -> Backend:
    """Return what runs batches in the mode of the run."""
    if settings.mode != "modal":
        return LocalBackend(config.rootpath)
    from pytest_modal.backends.modal import ModalBackend

    return ModalBackend(config.rootpath, settings.session)
