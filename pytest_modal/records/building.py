"""Building of a run's record from what the run has left: results, tests, gates, files."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.digest import digest_of
from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.ledger import LEDGER, GateRecord, Ledger
from pytest_modal.local.output_dir import not_written_of, output_root, written_of
from pytest_modal.records.facts import Commit, commit_of, versions_of
from pytest_modal.records.plain import plain_record
from pytest_modal.records.reports import OUTCOMES, ReportedTests, calls_of_tests
from pytest_modal.report.record import (
    SCHEMA,
    ArtifactEntry,
    Ending,
    EventEntry,
    GateEntry,
    Record,
    SessionEntry,
    Spent,
    TestEntry,
)
from pytest_modal.run.entries import call_entries
from pytest_modal.run.secrets import Secrets
from pytest_modal.store.results import Results, Run

_MOST_HASHED = 1 << 30  # bytes of a file: reading more takes seconds
# Takes what writes pieces of JSON; returns the record.
Writes = Callable[[Callable[[str], object]], Record]


@dataclass
class Course:
    """The course of a run until now.

    Attributes
    ----------
    started : float
        Seconds since 1970.
    internal : str
        The error of pytest itself that ended the run; empty without one.
    """

    started: float
    rootdir: Path
    tests: ReportedTests = field(default_factory=ReportedTests)
    interrupted: bool = False
    internal: str = ""

    @functools.cached_property
    def commit(self) -> Commit:
        """The state of the project's repository when it was first asked for."""
        return commit_of(self.rootdir)

    @property
    def id(self) -> str:
        """Time and commit."""
        time = datetime.fromtimestamp(self.started, UTC)
        name = f"{time:%Y%m%dT%H%M%S}{time.microsecond // 1000:03}"
        return f"{name}-{self.commit.name[:8]}" if self.commit.name else name


def build(
    config: pytest.Config,
    course: Course,
    results: Results | None,
    *,
    ending: Ending,
    exit_status: int | None,
    seconds: float,
    early: Record | None = None,
) -> Writes:
    """Build the record of a run; return what writes it, and gives it as it may be shown.

    Parameters
    ----------
    early : Record or None
        What a worker of pytest-xdist, which did not come to its end, has recorded of the batch.
    """
    run = results.run if results is not None else Run("none")
    ledger = config.stash.get(LEDGER, None) or Ledger()
    calls = call_entries(results) if results is not None else []
    tests = course.tests.entries(calls_of_tests(calls or (early["calls"] if early is not None else ())))
    record = Record(
        schema=SCHEMA,
        id=course.id,
        ending=ending,
        selection=_selection(run.mode, tests),
        started=datetime.fromtimestamp(course.started, UTC).isoformat(timespec="milliseconds"),
        seconds=seconds,
        exit_status=exit_status,
        mode=run.mode,
        project=config.rootpath.name,
        command=[*map(str, config.invocation_params.args)],
        commit=course.commit.name,
        branch=course.commit.branch,
        clean=course.commit.clean,
        platform=platform.platform(),
        versions=versions_of(outcome.packages for outcome in results.outcomes.values()) if results else versions_of(()),
        seed=run.seed,
        sessions=[SessionEntry(id=app.id, url=app.url, round=app.round) for app in run.apps],
        events=[EventEntry(what=each.what, started=each.started, seconds=each.seconds) for each in run.events],
        containers=run.containers,
        loads=run.loads,
        calls=calls,
        outcomes=_outcomes(config, course.tests),
        tests=tests,
        artifacts=_artifacts(config),
        gates=[_gate(each, recorded=ledger.is_recorded(each)) for each in ledger.records],
        together=ledger.joint,
        gate_lines=[*ledger.written],
        cost=_spent(run),
        notes=[*run.notes],
        problems=[*_problems(run, course, ledger), *not_written_of(config)],
    )
    if early is not None:
        for name in ("mode", "selection", "seed", "sessions", "events", "containers", "loads", "calls", "cost"):
            record[name] = early[name]
    secrets = Secrets(results.batch if results else Batch(), settings_of(config).session.secret_variables)
    return functools.partial(plain_record, record, secrets)


def _selection(mode: str, tests: Sequence[TestEntry]) -> str:
    return digest_of(mode, *sorted(each["nodeid"] for each in tests))[:16]


def _outcomes(config: pytest.Config, tests: ReportedTests) -> dict[str, int]:
    screen = config.pluginmanager.get_plugin("terminalreporter")
    # The terminal has seen the tests before ours too.
    stats: dict[str, Any] = getattr(screen, "stats", {})
    counts = {name: len(stats.get(name, ())) for name in OUTCOMES} if screen is not None else tests.outcomes
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def _artifacts(config: pytest.Config) -> list[ArtifactEntry]:
    root = output_root(config)
    listed = {each["path"]: each for each in written_of(config)}
    return [
        ArtifactEntry(
            path=path,
            test=each["test"],
            kind=each["kind"],
            bytes=each["bytes"],
            sha256=_sha256(root / path),
        )
        for path, each in sorted(listed.items())
        if (root / path).is_file()
    ]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > _MOST_HASHED:
                return ""
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _gate(record: GateRecord, *, recorded: bool) -> GateEntry:
    return GateEntry(
        gate=record.gate,
        test=record.test,
        verdict=record.verdict,
        failed=record.failed,
        compared=record.compared,
        recorded=recorded,
        line=record.line,
        notes=record.shown_notes,
        baseline=record.baseline,
        update=record.update,
        result=record.result,
        rounds=record.rounds,
        flips=record.flips,
        flips_in_all=record.flips_in_all,
        items=record.items,
    )


def _spent(run: Run) -> Spent | None:
    if run.cost is None:
        return None
    return Spent(dollars=run.cost.dollars, complete=run.cost.is_complete, prices=run.cost.prices)


def _problems(run: Run, course: Course, ledger: Ledger) -> list[str]:
    """Return the lines that need attention, besides tests and gates that failed."""
    unconfirmed = [f"{line}; its fresh rounds were not run, so it counts as failed" for line in ledger.unconfirmed]
    internal = [f"pytest ended by an error of its own or of a plugin: {course.internal}"] if course.internal else []
    return [*internal, *([run.error] if run.error else []), *unconfirmed, *ledger.left_out]
