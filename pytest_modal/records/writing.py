"""Writing of a run's record: ``run.json``, and ``runs/<id>.json`` for the history, of which the newest are kept."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.local.output_dir import ITEMS, RUN, RUNS, make_root, not_written_of, output_root
from pytest_modal.records.reading import runs_in
from pytest_modal.records.renderers import RENDERERS, last_before, render
from pytest_modal.report.record import Record
from pytest_modal.store.files import link, write_pieces

_LONG_RUN = 60.0  # seconds: what is made from the record of a shorter one is soon made again
_ITEMS_SECONDS = 3600.0  # per-item results are older than this before they are deleted: a run may still name them


def write_record(config: pytest.Config, record: Record, pieces: list[str]) -> None:
    """Write the record of a run and what is made from it; what can't be written is a problem of the run's summary.

    Parameters
    ----------
    pieces : list of str
        The record as JSON; emptied, to make room for what is made from it.
    """
    root = output_root(config)
    try:
        _write(record, pieces, root, settings_of(config).runs)
    except OSError as error:
        not_written_of(config).append(f"{RUN} was not written: {error}")
    pieces.clear()
    not_written_of(config).extend(render(config, record, last_before(config, record)))


def write_early(config: pytest.Config, record: Record, pieces: Sequence[str], *, whole: bool) -> None:
    """Write the record of a run that goes on, and if it is `whole` what is made from it: pytest may be killed."""
    root = output_root(config)
    with contextlib.suppress(OSError):
        _write(record, pieces, root, settings_of(config).runs)
        if whole and record["seconds"] > _LONG_RUN and any(each.early for each in RENDERERS):
            # What can't be written now is a problem at the end.
            for _ in render(config, record, last_before(config, record)):
                pass


def _write(record: Record, pieces: Sequence[str], root: Path, kept: int) -> None:
    make_root(root)
    if not kept:
        write_pieces(root / RUN, pieces)
        return
    path = root / RUNS / f"{record['id']}.json"
    write_pieces(path, pieces)
    link(path, root / RUN)
    if record["ending"] != "unfinished":
        _prune(root, kept)


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
