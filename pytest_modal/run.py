"""Plan the selected tests, run the batch, keep its outcomes, and sum up."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_modal.backends import Backend
from pytest_modal.batch import Batch
from pytest_modal.checking import check_batch
from pytest_modal.collection import is_everything
from pytest_modal.gate.passes import is_gated
from pytest_modal.handout import PLAN, RESULTS, ItemPlan
from pytest_modal.kept import Kept, cache_directory, clean, run_directory
from pytest_modal.planning import Planner
from pytest_modal.report import terminal
from pytest_modal.report.lost_files import lost_file_lines
from pytest_modal.rounds import ROUNDS, costs, first_round, recorded_rounds, with_rounds
from pytest_modal.settings import SETTINGS, Settings
from pytest_modal.sharing import ProgressFile, shared_by_workers
from pytest_modal.store import Results, SessionFacts, facts


def run_batch(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    """Run everything that the tests need from the GPU, before the first of them starts.

    What goes wrong here is an error of the tests: a worker of pytest-xdist that raises in its loop is replaced, and
    its successor would run the batch again.
    """
    settings = config.stash[SETTINGS]
    if settings.mode == "skip":
        _skip(config, tests)
        return
    results = config.stash[RESULTS] = Results(settings.mode, Batch())
    try:
        shared = shared_by_workers(config)
        started = time.perf_counter()
        backend, batch, warnings = _plan(config, settings, tests)
        if settings.gates.updating and (gated := [item for item in tests if is_gated(item)]):
            replayed = settings.mode == "replay"
            rounds = recorded_rounds(batch, gated, config.rootpath) if replayed else settings.gates.rounds
            config.stash[ROUNDS] = rounds
            batch = with_rounds(batch, gated, rounds)
        cache = cache_directory(config)
        directory = shared.outcomes if shared else run_directory(cache) if cache else None
        results = config.stash[RESULTS] = Results(backend.mode, batch, directory, shared=shared is not None)
        config.add_cleanup(results.close)
        results.run.warnings = warnings
        results.run.seconds["plan"] = time.perf_counter() - started
        kept = Kept(cache / "outcomes" / backend.mode) if cache else None
        if shared is None:
            _run(config, settings, backend, results, kept, config.pluginmanager.get_plugin("terminalreporter"))
            _look_after_recordings(config, settings, results, tests)
        else:
            # What a worker that died had finished is not done again.
            with shared.turn():
                if not results.load():
                    _run(config, settings, backend, results, kept, ProgressFile(shared.progress))
                    _look_after_recordings(config, settings, results, tests)
                    results.save()
        if cache is not None:
            clean(cache)
    except Exception as error:
        results.run.error = _words(error)
        for item in tests:
            item.stash.setdefault(PLAN, ItemPlan()).error = results.run.error
    _spare_reruns(config, results, tests)


def _skip(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    for item in tests:
        item.add_marker(pytest.mark.skip(reason="GPU tests are skipped: --modal-mode=skip"))
    config.stash[RESULTS] = Results("skip", Batch())
    if (screen := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        screen.write_line(f"modal: skip mode: {terminal.count(len(tests), 'GPU test')} skipped")


def _run(
    config: pytest.Config,
    settings: Settings,
    backend: Backend,
    results: Results,
    kept: Kept | None,
    screen: Any,
) -> None:
    batch = results.batch
    if settings.resume:
        _resume(results, kept)
    if screen is not None:
        terminal.warn(screen, results.run.warnings)
        terminal.announce(screen, backend.describe(), batch)
        if settings.resume:
            screen.write_line(f"modal: {terminal.reused(results)}")
    compute(config, backend, results, kept, screen)
    results.run.notes += lost_file_lines(results)
    if kept is not None:
        kept.prune(spare=results.outcomes)


def compute(config: pytest.Config, backend: Backend, results: Results, kept: Kept | None, screen: Any) -> None:
    """Run, in one session, what has no outcome yet."""
    left = results.batch.without(results.outcomes)
    if not left.calls:
        return
    started = time.perf_counter()
    # Nobody has to wait for a replay.
    watched = None if backend.mode == "replay" else screen
    with terminal.live(watched, left, verbose=config.get_verbosity() > 0) as ticker:
        outcomes = backend.run(left, results.encoded, ticker.progress)
        try:
            for outcome, value in outcomes:
                results.put(outcome, value)
                if kept is not None and backend.mode != "replay":
                    kept.keep(results, outcome)
                ticker.outcome(outcome)
        finally:
            # Ctrl-C arrives here: the generator ends its workers before pytest goes on.
            outcomes.close()  # type: ignore[attr-defined]
            results.run.seconds["run"] = time.perf_counter() - started
            results.run.app_id, results.run.dashboard_url = backend.app_id, backend.dashboard_url


def _resume(results: Results, kept: Kept | None) -> None:
    if kept is None:
        results.run.notes.append("nothing could be resumed: pytest's cache is off, or can't be written")
        return
    wanted = [key for key in results.run.labels if key not in results.outcomes]
    for outcome, path in kept.find(wanted):
        # Gone in this moment: it is computed again.
        with contextlib.suppress(OSError):
            results.adopt(outcome, path)


def _look_after_recordings(
    config: pytest.Config, settings: Settings, results: Results, tests: Sequence[pytest.Item]
) -> None:
    """Record what was asked for; report what no test uses, and delete it where that was asked for."""
    if not (settings.record or settings.prune or settings.mode == "replay"):
        return
    from pytest_modal.recordings import MissingRecordingError, find_recording
    from pytest_modal.recordings.batch import record, slots, unused

    batch, notes = results.batch, results.run.notes
    if settings.record:
        notes += record(batch, config.rootpath, results.outcomes, results.encoded)
    plans = [plan for item in tests if (plan := item.stash.get(PLAN, None)) is not None]
    complete = is_everything(tests[0].session) and not any(plan.error or plan.reason for plan in plans)
    if not complete:
        if settings.prune:
            notes.append("recordings were not pruned: that needs all tests, without -k, -m, paths or errors")
        return
    used = []
    gated = [item for item in tests if is_gated(item)]
    recorded = with_rounds(first_round(batch), gated, recorded_rounds(batch, gated, config.rootpath))
    places = slots(recorded, config.rootpath).values()
    for slot in places:
        with contextlib.suppress(MissingRecordingError):
            used.append(find_recording(slot.directory, slot.name))
    left = unused(places, {item.path for item in tests[0].session.items}, used)
    if left:
        names = ", ".join(path.relative_to(config.rootpath).as_posix() for path in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        said = "deleted recordings that no test uses" if settings.prune else "no test uses these recordings"
        remedy = "" if settings.prune else "; --modal-prune-recordings deletes them"
        notes.append(f"{said}: {names}{more}{remedy}")
    if settings.prune:
        for path in left:
            path.unlink(missing_ok=True)


def _spare_reruns(config: pytest.Config, results: Results, tests: Sequence[pytest.Item]) -> None:
    """Tell pytest-rerunfailures which tests can only fail again: the batch is not run again for a test."""
    if not config.pluginmanager.has_plugin("rerunfailures"):
        return
    for item in tests:
        if (plan := item.stash.get(PLAN, None)) is not None and _is_settled(plan, results):
            # No reruns, whatever --reruns says; the condition holds against --force-reruns too.
            item.add_marker(pytest.mark.flaky(reruns=0, condition=False), append=False)


def _is_settled(plan: ItemPlan, results: Results) -> bool:
    if plan.error or plan.reason:
        return True
    parts = [part for key in plan.calls.values() for part in results.batch.parts(key)]
    outcomes = [results.outcomes.get(part) for part in parts]
    return any(outcome is None or not outcome.ok or outcome.teardown_errors for outcome in outcomes)


def _words(error: Exception) -> str:
    if isinstance(error, pytest.UsageError):
        return str(error)
    told = "".join(traceback.format_exception(error)).rstrip()
    return (
        f"the batch of GPU calls could not be run: {type(error).__name__}: {error}\n"
        "  where: in pytest-modal itself\n"
        f"  what to do: please report this\n\n{told}"
    )


def show_plan(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    """Print what would be sent, and send nothing."""
    backend, batch, warnings = _plan(config, config.stash[SETTINGS], tests)
    screen = config.pluginmanager.get_plugin("terminalreporter")
    if screen is not None:
        terminal.warn(screen, warnings)
        errors = [
            (item.nodeid, message)
            for item in tests
            if (plan := item.stash.get(PLAN, None)) is not None and (message := plan.error or plan.reason)
        ]
        notes = costs(batch, [item for item in tests if is_gated(item)], config.stash[SETTINGS].gates)
        terminal.print_plan(screen, backend.describe(), batch, errors, notes)


def session_facts(config: pytest.Config) -> SessionFacts:
    """Return the facts of the run for the fixture ``modal_session``."""
    results = config.stash.get(RESULTS, None)
    return facts(results) if results is not None else SessionFacts(config.stash[SETTINGS].mode, None, None, ())


def _plan(config: pytest.Config, settings: Settings, tests: Sequence[pytest.Item]) -> tuple[Backend, Batch, list[str]]:
    backend = backend_of(config, settings)
    planner = Planner(
        config.rootpath, settings.environment, mocks=settings.mode == "local", travels=settings.mode != "replay"
    )
    batch = planner.plan(tests)
    return backend, batch, check_batch(config, tests, batch, planner.functions)


def backend_of(config: pytest.Config, settings: Settings) -> Backend:
    """Return what runs batches in the mode of the run."""
    if settings.mode == "modal":
        from pytest_modal.backends.modal import ModalBackend

        return ModalBackend(config.rootpath, settings.session)
    if settings.mode == "replay":
        from pytest_modal.backends.replay import ReplayBackend

        return ReplayBackend(config.rootpath)
    from pytest_modal.backends.local import LocalBackend

    return LocalBackend(config.rootpath)
