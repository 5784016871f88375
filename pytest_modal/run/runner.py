"""Runs of a batch: the selected tests are planned, their calls run, the outcomes kept and summed up."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.calls import Batch
from pytest_modal.batch.outcomes import Event, Progress
from pytest_modal.code.versions import Versions
from pytest_modal.declare.project import with_image
from pytest_modal.declare.settings import Settings, settings_of
from pytest_modal.plan.checking import check_batch, refuse_environments
from pytest_modal.plan.images import new_images, remember_images, settle_images
from pytest_modal.plan.local_fixtures import ends_run
from pytest_modal.plan.mistakes import refuse_mistakes
from pytest_modal.plan.planner import Planner
from pytest_modal.plan.rounds import ROUNDS, costs, is_gated, with_rounds
from pytest_modal.plan.selection import DESELECTED, waiting_for_results
from pytest_modal.plan.state import PLAN, RESULTS, ItemPlan, plan_of
from pytest_modal.remote.masks import SecretNames
from pytest_modal.report import terminal
from pytest_modal.report.live import live, planning
from pytest_modal.report.notes import lost_file_lines, unused_gpu_lines
from pytest_modal.report.plan import print_plan
from pytest_modal.report.running import Running
from pytest_modal.report.terminal import Lines
from pytest_modal.run.costs import estimate, remember_timings, timings_of
from pytest_modal.run.entries import note_entries
from pytest_modal.run.protocol import Backend
from pytest_modal.run.recording import look_after_recordings, recorded_rounds
from pytest_modal.run.reruns import spare_reruns
from pytest_modal.run.resuming import resume
from pytest_modal.run.secrets import Secrets
from pytest_modal.run.shipped_files import ShippedFiles
from pytest_modal.run.teardowns import in_words
from pytest_modal.run.xdist import ProgressFile, shared_by_workers
from pytest_modal.store import scratch
from pytest_modal.store.cache import OutcomeCache
from pytest_modal.store.results import Results
from pytest_modal.wording import count, three_parts


def run_batch(
    config: pytest.Config, tests: Sequence[pytest.Item], noted: Callable[[Results], None] = lambda results: None
) -> None:
    """Run everything that the tests need from the GPU, before the first of them starts.

    An exception here becomes an error of the tests: a worker of pytest-xdist that raises in its loop is replaced, and
    its successor would run the batch again.

    Parameters
    ----------
    noted : callable
        Takes what is known, in the process that runs the batch: before it runs, and when it has.
    """
    settings = settings_of(config)
    if settings.mode == "skip":
        _skip(config, tests)
        return
    results = config.stash[RESULTS] = Results(settings.mode, Batch())
    waiting, conditions = waiting_for_results(tests)
    try:
        waiting = refuse_mistakes(waiting)
        shared = shared_by_workers(config)
        started, began = time.perf_counter(), time.time()
        with planning(_screen(config), len(waiting)):
            backend, batch, warnings = _plan(config, settings, waiting)
        if settings.gates.updating and (gated := [item for item in waiting if is_gated(item)]):
            replayed = settings.mode == "replay"
            rounds = recorded_rounds(batch, gated, config.rootpath) if replayed else settings.gates.rounds
            config.stash[ROUNDS] = rounds
            batch = with_rounds(batch, gated, rounds)
        cache = cache_directory(config)
        runs = runs_directory(config) if cache is not None else None
        results = config.stash[RESULTS] = Results(backend.mode, batch, shared.outcomes if shared else None, runs)
        config.add_cleanup(results.close)
        results.run.warnings = [*warnings, *terminal.skipped_before(conditions)]
        results.run.seconds["plan"] = time.perf_counter() - started
        results.run.events.append(Event("planning", began, time.time() - began))
        # What a function could do with all of this machine says nothing about what it can do without.
        where = backend.mode if settings.local.isolation or backend.mode != "local" else "local, not isolated"
        kept = OutcomeCache(cache / "outcomes" / where) if cache else None
        if shared is None:
            _run(config, settings, backend, results, kept, config.pluginmanager.get_plugin("terminalreporter"), noted)
            look_after_recordings(config, settings, results, tests)
        else:
            # What a worker had finished before it died is not done again.
            with shared.turn():
                if not results.load():
                    _run(config, settings, backend, results, kept, ProgressFile(shared.progress), noted)
                    look_after_recordings(config, settings, results, tests)
                    # On a full disk each worker runs for itself what is not stored.
                    with contextlib.suppress(OSError):
                        results.save()
        for parent in (runs, None):
            scratch.clean(parent)
    except BaseException as error:
        if ends_run(config, error):  # somebody has left the debugger, for example
            raise
        results.run.error = _words(error)
        for item in waiting:
            item.stash.setdefault(PLAN, ItemPlan()).error = results.run.error
    spare_reruns(config, results, tests)


def _skip(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    for item in tests:
        item.add_marker(pytest.mark.skip(reason="GPU tests are skipped: --modal-mode=skip"))
    config.stash[RESULTS] = Results("skip", Batch())
    if (screen := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        screen.write_line(f"modal: skip mode: {count(len(tests), 'GPU test')} skipped")


def _run(
    config: pytest.Config,
    settings: Settings,
    backend: Backend,
    results: Results,
    kept: OutcomeCache | None,
    screen: Lines | None,
    noted: Callable[[Results], None],
) -> None:
    batch = results.batch
    resumed = settings.resume and bool(batch.calls)
    versions = Versions(batch, on_this_machine=backend.mode == "local")
    if resumed:
        resume(results, kept, versions, same_packages=settings.resume_same)
    if screen is not None:
        terminal.warn(screen, results.run.warnings)
        terminal.announce(screen, backend.describe(), batch)
        if resumed:
            screen.write_line(f"modal: {terminal.reused(results)}")
    note_entries(results, ())
    noted(results)
    try:
        compute(config, backend, results, kept, screen, versions)
    finally:
        noted(results)
        if backend.mode == "modal":
            remember_images(config, batch, _used_images(results))
            remember_timings(config, results)
    if settings.inline:
        note = "modal: inline: in pytest's process, without isolation and time limits; no result is kept"
        results.run.notes.append(note)
    results.run.notes += [*lost_file_lines(results), *unused_gpu_lines(results)]
    if kept is not None:
        kept.prune(spare=results.outcomes)


def _used_images(results: Results) -> set[str]:
    ran = {key for key, outcome in results.outcomes.items() if outcome.container and key not in results.run.reused}
    return {call.environment.image_group for call in results.batch.calls if call.key in ran}


def compute(
    config: pytest.Config,
    backend: Backend,
    results: Results,
    kept: OutcomeCache | None,
    screen: Lines | None,
    versions: Versions | None = None,
) -> None:
    """Run what has no outcome yet."""
    left = results.batch.without(results.outcomes)
    if not left.calls:
        return
    started = time.perf_counter()
    # A replay is instant, so it has no progress line.
    watched = None if backend.mode == "replay" else screen
    # Without its terminal reporter, pytest 8.3.0 to 8.3.2 has no verbosity.
    verbosity = config.get_verbosity() if watched is not None else 0
    settings, files = settings_of(config), ShippedFiles(results.batch, config.rootpath)
    inline = settings.inline
    secrets = Secrets(results.batch, settings.session.secret_variables)
    in_session = backend.mode == "modal"
    expected = timings_of(config).expected(left, settings.session.max_gpus) if in_session else None
    running = Running(len(left.calls), lambda: backend.cost, expected)
    with live(watched, running, verbosity=verbosity, plain=compat.shows_logs(config), alone=inline) as ticker:
        outcomes = backend.run(left, results.encoded, secrets.in_lines(ticker.progress))
        try:
            for received, encoded in outcomes:
                outcome, value = secrets.removed(files.localize(received), encoded)
                if versions is not None:
                    outcome.packages = versions.of(results.calls[outcome.key])
                results.put(outcome, value)
                received.status = outcome.status  # what needs one that could not be stored is blocked
                # What ran inline may have been changed in a debugger.
                if kept is not None and backend.mode != "replay" and not inline:
                    kept.keep(results, outcome)
                ticker.outcome(outcome)
        except KeyboardInterrupt:
            ticker.progress(Progress("", "", phase="stopping"))
            _say_what_is_kept(results, kept, screen)
            raise
        finally:
            # Ctrl-C arrives here: the generator ends its workers before pytest goes on.
            outcomes.close()  # type: ignore[attr-defined]
            results.run.seconds["run"] = time.perf_counter() - started
            results.run.apps, results.run.cost = [*backend.apps], backend.cost
            results.run.notes += backend.notes
            results.run.teardowns += [secrets.plain(in_words(each, files)) for each in backend.teardowns]
            results.run.events += backend.events
            note_entries(results, backend.containers)


def _screen(config: pytest.Config) -> Lines | None:
    """Return the terminal, if nothing else is written to it while the batch is planned."""
    screen: Lines | None = config.pluginmanager.get_plugin("terminalreporter")
    # Without its terminal reporter, pytest 8.3.0 to 8.3.2 has no verbosity.
    if screen is None or compat.shows_logs(config) or config.getoption("capture", None) == "no":
        return None
    return screen if config.get_verbosity() >= 0 else None


def _say_what_is_kept(results: Results, kept: OutcomeCache | None, screen: Lines | None) -> None:
    if results.mode not in ("local", "modal"):
        return
    done = sum(outcome.ok for outcome in results.outcomes.values())
    command = "pytest --modal --modal-resume" if results.mode == "modal" else "pytest --modal-resume"
    note = f"interrupted: {done:,} of {count(len(results.batch.calls), 'call')} are kept; {command} continues"
    if kept is None:
        note = "interrupted: no call is kept, because pytest's cache is disabled or not writable"
    if results.is_shared and screen is not None:
        # The summary is the controller's, which the results of this worker won't reach.
        screen.write_line(f"modal: {note}")
    else:
        results.run.notes.append(note)


def _words(error: BaseException) -> str:
    if isinstance(error, pytest.UsageError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"the batch of GPU calls could not be run: {error.strerror}"
        where = error.filename or f"{tempfile.gettempdir()} or {Path.cwd()}"
        return three_parts(what, where, "free space on that disk, and run pytest again with --modal-resume")
    trace = "".join(traceback.format_exception(error)).rstrip()
    what = f"the batch of GPU calls could not be run: {type(error).__name__}: {error}"
    return f"{three_parts(what, 'in pytest-modal itself', 'report this error, with the traceback below')}\n\n{trace}"


def show_plan(config: pytest.Config, tests: Sequence[pytest.Item]) -> None:
    """Print what would be sent, and send nothing."""
    waiting, conditions = waiting_for_results(tests)
    backend, batch, warnings = _plan(config, settings_of(config), refuse_mistakes(waiting))
    screen = config.pluginmanager.get_plugin("terminalreporter")
    if screen is not None:
        terminal.warn(screen, [*warnings, *terminal.skipped_before(conditions)])
        errors = [
            (item.nodeid, message)
            for item in tests
            if (plan := plan_of(item)) is not None and (message := plan.error or plan.reason)
        ]
        notes = costs(batch, [item for item in waiting if is_gated(item)], settings_of(config).gates)
        on_modal = backend.mode == "modal"
        new, cost = (new_images(config, batch), estimate(config, batch)) if on_modal else (None, None)
        verbose = config.get_verbosity() > 0
        limit = settings_of(config).session.max_cost
        print_plan(
            screen, backend.describe(), batch, errors, notes, new_images=new, cost=cost, limit=limit, verbose=verbose
        )


def _plan(
    config: pytest.Config, settings: Settings, tests: Sequence[pytest.Function]
) -> tuple[Backend, Batch, list[str]]:
    backend = backend_of(config, settings)
    defaults = with_image(settings.environment, config) if tests and settings.mode != "replay" else settings.environment
    secret, mode = SecretNames(settings.session.secret_variables), settings.mode
    planner = Planner(config, defaults, mocks=mode == "local", travels=mode != "replay", secret=secret)
    batch = planner.plan(tests)
    warnings = check_batch(config, tests, batch)
    if any(environment.modal for environment in batch.environments) and settings.mode != "replay":
        from pytest_modal.run.modal.passed_through import refusal_of

        refuse_environments(tests, batch, refusal_of)
    if tests and settings.mode != "replay":
        others = config.stash.get(DESELECTED, []) if settings.mode == "modal" else []
        settle_images(batch, tests[0].session, lambda: planner.collected.nodes(others))
    return backend, batch, warnings


def backend_of(config: pytest.Config, settings: Settings) -> Backend:
    """Return what runs batches in the mode of the run."""
    if settings.mode == "modal":
        from pytest_modal.run.modal.backend import ModalBackend

        return ModalBackend(config.rootpath, settings.session, timings_of(config), stream=settings.stream)
    if settings.mode == "replay":
        from pytest_modal.run.replay import ReplayBackend

        return ReplayBackend(config.rootpath)
    if settings.inline:
        from pytest_modal.run.inline import InlineBackend

        return InlineBackend(config)
    from pytest_modal.run.local import LocalBackend

    return LocalBackend(config.rootpath, settings.local, stream=settings.stream)


def runs_directory(config: pytest.Config) -> Path:
    """Return where the results of running runs are: beside pytest's cache, since ``--cache-clear`` empties that."""
    return compat.cache_root(config) / "pytest_modal" / "runs"


def cache_directory(config: pytest.Config) -> Path | None:
    """Return our directory in pytest's cache; None without the cache, or where it can't be written."""
    cache = getattr(config, "cache", None)
    if cache is None:
        return None
    try:
        directory = Path(cache.mkdir("pytest_modal"))
    except OSError:
        return None
    return directory if os.access(directory, os.W_OK) else None
