"""Outcomes of a run: each on disk before the next is awaited, read again when a test wants it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_modal import data
from pytest_modal.batch import Batch, Buffers, Outcome


@dataclass
class Results:
    """What a session computed.

    Attributes
    ----------
    mode : str
        "local", "skip", ...
    seconds : dict
        Wall time of each stage.
    """

    mode: str
    batch: Batch
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    app_id: str | None = None
    dashboard_url: str | None = None

    def __post_init__(self) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def put(self, outcome: Outcome, value: Buffers) -> None:
        """Keep an outcome, and its encoded value on disk."""
        if outcome.ok:
            with self._path(outcome.key).open("wb") as stream:
                for buffer in value:
                    outcome.value_bytes += stream.write(buffer)
        self.outcomes[outcome.key] = outcome

    def encoded(self, key: str) -> bytes:
        """Return the encoded result of a call."""
        if key in self.batch.shards:
            return b"".join(data.encode(self.value(key)))
        return self._path(key).read_bytes()

    def value(self, key: str) -> Any:
        """Return a fresh copy of the result of a call; the parts of a sharded one joined.

        Raises
        ------
        TypeError
            A part of a sharded call is not a list.
        """
        if key not in self.batch.shards:
            return data.decode(self._path(key).read_bytes())
        joined: list[Any] = []
        for part in self.batch.shards[key]:
            value = self.value(part)
            if not isinstance(value, list):
                raise TypeError(
                    f"{self.outcomes[part].key} returned a {type(value).__name__}; with shard= each part is a list"
                )
            joined += value
        return joined

    def of(self, key: str) -> list[Outcome]:
        """Return the outcomes of a call, or of its parts; those that never came are left out."""
        return [self.outcomes[part] for part in self.batch.parts(key) if part in self.outcomes]

    def close(self) -> None:
        """Delete the values."""
        if self._directory is not None:
            self._directory.cleanup()

    def _path(self, key: str) -> Path:
        # Made when it is needed: a run without results leaves nothing to clean up.
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="pytest-modal-results-", ignore_cleanup_errors=True)
        return Path(self._directory.name, key)


@dataclass(frozen=True)
class CallFacts:
    """Facts of one call: `gpu` is the device that was really given, `seconds` the time without model loads."""

    name: str
    gpu: str
    container: str
    seconds: float
    peak_memory: int | None


@dataclass(frozen=True)
class SessionFacts:
    """Facts of the run, as the fixture `modal_session` gives them."""

    mode: str
    app_id: str | None
    dashboard_url: str | None
    calls: Sequence[CallFacts]


def facts(results: Results) -> SessionFacts:
    """Summarize a run for tests."""
    calls = [
        CallFacts(call.label, outcome.device, outcome.container, outcome.seconds, outcome.peak_memory)
        for call in results.batch.calls
        if (outcome := results.outcomes.get(call.key)) is not None
    ]
    return SessionFacts(results.mode, results.app_id, results.dashboard_url, calls)
