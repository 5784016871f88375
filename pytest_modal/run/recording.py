"""Recordings of a run: written, reported as unused, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_modal.batch.calls import Batch
from pytest_modal.declare.settings import Settings
from pytest_modal.plan.rounds import calls_of, first_round, is_gated, repeat, with_rounds
from pytest_modal.plan.selection import is_everything
from pytest_modal.plan.state import plan_of
from pytest_modal.store.files import delete
from pytest_modal.store.results import Results
from pytest_modal.wording import first_few


def recorded_rounds(batch: Batch, items: Sequence[pytest.Item], rootdir: Path) -> int:
    """Return the number of rounds in which all calls of some tests are recorded, at least one.

    Rounds that were recorded before something changed don't count once the first was recorded again.
    """
    from pytest_modal.store.recordings.finding import Finder
    from pytest_modal.store.recordings.slots import slots

    finder, first = Finder(), slots(first_round(batch), rootdir)
    keys = {part for key in calls_of(items) for part in batch.parts(key)}
    fresh = all(finder.is_fresh(slot) for key, slot in first.items() if key in keys)
    counts = finder.is_fresh if fresh else finder.is_there
    number = 1
    while (repeated := repeat(batch, calls_of(items), [number])).calls:
        if not all(map(counts, slots(repeated, rootdir).values())):
            break
        number += 1
    return number


def look_after_recordings(
    config: pytest.Config, settings: Settings, results: Results, tests: Sequence[pytest.Item]
) -> None:
    """Write recordings, report those that no test uses, or delete them, as the options demand."""
    if not (settings.record or settings.prune or settings.mode == "replay"):
        return
    from pytest_modal.store.recordings.finding import Finder, unused_files
    from pytest_modal.store.recordings.slots import record, slots, unused

    batch, notes = results.batch, results.run.notes
    if settings.record:
        notes += record(batch, config.rootpath, results.outcomes, results.encoded)
    # What a skipped test would use is not known.
    plans = [plan_of(item) for item in tests if isinstance(item, pytest.Function)]
    complete = is_everything(tests[0].session) and not any(plan is None or plan.error or plan.reason for plan in plans)
    if not complete:
        if settings.prune:
            notes.append("recordings were not pruned: run all tests (no -k, -m or paths), without errors")
        return
    gated = [item for item in tests if is_gated(item)]
    recorded = with_rounds(first_round(batch), gated, recorded_rounds(batch, gated, config.rootpath))
    places = slots(recorded, config.rootpath).values()
    files = {item.path for item in tests[0].session.items}
    left = unused_files(Finder(), places, lambda used: unused(places, files, used))
    if left:
        names = first_few(path.relative_to(config.rootpath).as_posix() for path in left)
        what = "deleted recordings that no test uses" if settings.prune else "no test uses these recordings"
        remedy = "" if settings.prune else "; --modal-prune-recordings deletes them"
        notes.append(f"{what}: {names}{remedy}")
    if settings.prune:
        for path in left:
            delete(path)
