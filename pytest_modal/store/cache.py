"""A cache of ok outcomes by the content of their call, for ``--modal-resume``."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote import data
from pytest_modal.store.files import delete, link
from pytest_modal.store.outcome_file import check_whole, read_outcome
from pytest_modal.store.results import Results

KEPT_BYTES = 4 << 30
KEPT_SECONDS = 30 * 24 * 3600.0


class OutcomeCache:
    """Ok outcomes of earlier runs, by content, in pytest's cache.

    Safe under concurrent runs: files appear whole, and a file that another run deletes counts as not cached.

    Parameters
    ----------
    directory : Path
        One for each mode: what a CPU has computed is not a result of a GPU.

    Attributes
    ----------
    damaged : int
        How many files `find` has found damaged.
    """

    def __init__(self, directory: Path, max_bytes: int = KEPT_BYTES, max_seconds: float = KEPT_SECONDS) -> None:
        self._directory = directory
        self.damaged = 0
        self._max_bytes, self._max_seconds = max_bytes, max_seconds

    def keep(self, results: Results, outcome: Outcome) -> None:
        """Keep the outcome of a call; a full or read-only disk loses the benefit, not the run."""
        if outcome.ok:
            with contextlib.suppress(OSError):
                self._directory.mkdir(parents=True, exist_ok=True)
                link(results.path(outcome.key), self._directory / outcome.key)

    def find(self, keys: Collection[str]) -> Iterator[tuple[Outcome, Path]]:
        """Yield the cached outcomes among some calls, each with its file; those that are damaged are deleted."""
        self.damaged = 0
        for key in keys:
            path = self._directory / key
            with contextlib.suppress(OSError):
                try:
                    check_whole(path)
                    outcome = read_outcome(path)
                except data.CorruptDataError:
                    self.damaged += 1
                    path.unlink()
                    continue
                if outcome.ok and outcome.key == key:
                    os.utime(path)
                    yield outcome, path

    def prune(self, spare: Collection[str] = ()) -> None:
        """Delete what is too old, then the oldest until the rest is small enough."""
        entries = []
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    entries.append((facts.st_mtime, facts.st_size, path))
        total, now = sum(size for _, size, _ in entries), time.time()
        for modified, size, path in sorted(entries):
            if path.name in spare or (now - modified <= self._max_seconds and total <= self._max_bytes):
                continue
            with contextlib.suppress(OSError):
                delete(path)
            total -= size
