"""Fresh rounds for suspicious gates: once a run, after all other tests, for all of them together, by one process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.body_runs import FRESH
from pytest_modal.gate.ledger import ledger_of
from pytest_modal.gate.xdist import leave, left_behind, shared_directory, take
from pytest_modal.plan.rounds import calls_of, is_gated, repeat
from pytest_modal.plan.state import RESULTS
from pytest_modal.run.costs import with_what_is_left
from pytest_modal.run.entries import call_entries
from pytest_modal.run.runner import backend_of, compute
from pytest_modal.run.xdist import ProgressFile, shared_by_workers
from pytest_modal.store.results import Results
from pytest_modal.wording import count


def confirm(session: pytest.Session) -> None:
    """Run the fresh rounds that gates want, and judge their tests again.

    Raises
    ------
    pytest.Session.Failed
        As many tests have failed as ``--maxfail`` allows.
    """
    config = session.config
    settings = settings_of(config)
    if not settings.gates.confirm or settings.gates.updating or not any(map(is_gated, session.items)):
        return
    held = ledger_of(config).held
    if (shared := shared_directory(config)) is not None:
        workerinput = config.workerinput  # type: ignore[attr-defined]
        if not leave(shared, workerinput["workerid"], workerinput["workercount"], held):
            return
        held = left_behind(shared)
        for each in held.values():
            take(shared, each)
    items = [item for item in session.items if item.nodeid in held]
    if not items:
        return
    before = config.stash[RESULTS]
    # In one session they would share what is particular to it.
    rounds = repeat(before.batch, calls_of(items), range(1, settings.gates.confirm + 1))
    batch = replace(rounds, rounds_apart=True)
    backend = backend_of(config, with_what_is_left(settings, before.run.cost))
    results = Results(backend.mode, batch)
    config.add_cleanup(results.close)
    screen = _screen(config)
    if screen is not None:
        fresh, tests = count(settings.gates.confirm, "fresh round"), count(len(items), "test")
        calls = count(len(batch.calls), "call")
        screen.write_line(f"modal: {backend.describe()}: {fresh} for {tests} with suspicious gates: {calls}")
    compute(config, backend, results, None, screen)
    results.run.calls = call_entries(results)
    before.add(results.run)
    for item in items:
        compat.come_back_to(item)
        item.stash[FRESH] = results, held[item.nodeid]
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)


def _screen(config: pytest.Config) -> Any:
    """Return the screen for progress: the controller's terminal, if this is a worker of pytest-xdist."""
    if (workers := shared_by_workers(config)) is not None:
        return ProgressFile(workers.progress)
    screen = config.pluginmanager.get_plugin("terminalreporter")
    if screen is not None:
        screen.ensure_newline()
    return screen
