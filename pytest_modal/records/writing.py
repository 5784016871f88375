"""Writing of a run's record: ``run.json``, and ``runs/<id>.json`` for the history, of which the newest are kept."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.local.output_dir import ITEMS, RUN, RUNS, make_root, not_written_of, output_root
from pytest_modal.records.building import Writes
from pytest_modal.records.reading import runs_in
from pytest_modal.records.renderers import RENDERERS, last_before, render
from pytest_modal.report.record import Record
from pytest_modal.store.files import link, writing

_LONG_RUN = 60.0  # seconds: what is made from the record of a shorter one is soon made again
_ITEMS_SECONDS = 3600.0  # per-item results are older than this before they are deleted: a run may still name them


def write_record(config: pytest.Config, run: str, writes: Writes) -> None:
    """Write the record of a run and what is made from it; what can't be written is a problem of the run's summary.

    Parameters
    ----------
    run : str
        The id of the run.
    writes : callable
        See `pytest_modal.records.building.build`.
    """
    try:
        record = _written(run, writes, output_root(config), settings_of(config).runs)
    except OSError as error:
        not_written_of(config).append(f"{RUN} was not written: {error}")
        record = writes(lambda piece: None)
    not_written_of(config).extend(render(config, record, last_before(config, record)))


def write_early(config: pytest.Config, run: str, writes: Writes, *, whole: bool) -> Record | None:
    """Write the record of a run that goes on, and if it is `whole` what is made from it: pytest may be killed.

    Returns
    -------
    Record or None
        None where it could not be written.
    """
    with contextlib.suppress(OSError):
        record = _written(run, writes, output_root(config), settings_of(config).runs)
        if whole and record["seconds"] > _LONG_RUN and any(each.early for each in RENDERERS):
            # What can't be written now is a problem at the end.
            for _ in render(config, record, last_before(config, record)):
                pass
        return record
    return None


def _written(run: str, writes: Writes, root: Path, kept: int) -> Record:
    make_root(root)
    path = root / RUNS / f"{run}.json" if kept else root / RUN
    with writing(path) as write:
        record = writes(write)
    if kept:
        link(path, root / RUN)
        if record["ending"] != "unfinished":
            _prune(root, kept)
    return record


def _prune(root: Path, kept: int) -> None:
    """Delete the oldest records, and the per-item results that no record names."""
    runs = runs_in(root)
    for path in runs[kept:]:
        path.unlink(missing_ok=True)
    old = time.time() - _ITEMS_SECONDS
    items = [path for path in (root / RUNS / ITEMS).glob("*.json") if path.stat().st_mtime < old]
    if not items:
        return
    named: set[str] = set()
    for path in runs[:kept]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            named |= {gate["items"] for gate in json.loads(path.read_text(encoding="utf-8"))["gates"]}
    for path in items:
        if path.stem not in named:
            path.unlink(missing_ok=True)
