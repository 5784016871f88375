"""Outcomes of a run: each on disk before the next is awaited, read again when a test wants it.

A run has a directory with one file a call, an encoded header and an encoded value (see `pytest_modal.data`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pytest_modal import data
from pytest_modal.batch import Batch, Buffers, Load, Outcome
from pytest_modal.worker_process import Frame, write_message

_RECORD = "run"


@dataclass
class Run:
    """What a report wants to know of a run besides its outcomes.

    Attributes
    ----------
    labels : dict of str to str
        What each call is called, by key, in order.
    arguments : dict
        For each call, the digests of its arguments by name.
    reused : list of str
        Keys of the calls whose results an earlier run had left.
    warnings, notes : list of str
        What has to be said before the batch, and what the summary has to say besides.
    error : str or None
        Why the batch could not be run at all.
    """

    mode: str
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, dict[str, str]] = field(default_factory=dict)
    environments: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    app_id: str | None = None
    dashboard_url: str | None = None
    reused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


class Results:
    """What a session computed.

    Parameters
    ----------
    mode : str
        "local", "modal", "replay", "skip".
    batch : Batch
        The calls.
    directory : Path
        Where to put outcomes; None makes a temporary one when it is needed.
    shared : bool
        Whether other processes read the directory too, and somebody else deletes it.
    """

    def __init__(self, mode: str, batch: Batch, directory: Path | None = None, *, shared: bool = False) -> None:
        self.batch = batch
        self.outcomes: dict[str, Outcome] = {}
        self.run = Run(
            mode,
            {call.key: call.label for call in batch.calls},
            {call.key: call.argument_digests for call in batch.calls},
            len(batch.environments),
        )
        self.is_shared = shared
        self._directory = directory

    @property
    def mode(self) -> str:
        """Where the calls ran."""
        return self.run.mode

    def put(self, outcome: Outcome, value: Buffers) -> None:
        """Keep an outcome and its encoded value on disk."""
        outcome.value_bytes = sum(memoryview(buffer).nbytes for buffer in value) if outcome.ok else 0
        with _whole(self.path(outcome.key)) as stream:
            write_message(stream, dataclasses.asdict(outcome), [*value] if outcome.ok else [])
        self.outcomes[outcome.key] = outcome

    def adopt(self, outcome: Outcome, path: Path) -> None:
        """Take over an outcome that an earlier run had left."""
        link(path, self.path(outcome.key))
        self.outcomes[outcome.key] = outcome
        self.run.reused.append(outcome.key)

    def encoded(self, key: str) -> bytes:
        """Return the encoded result of a call."""
        if key in self.batch.shards:
            return b"".join(data.encode(self.value(key)))
        return read_value(self.path(key))

    def value(self, key: str) -> Any:
        """Return a fresh copy of the result of a call; the parts of a sharded one joined.

        Raises
        ------
        TypeError
            A part of a sharded call is not a list.
        """
        if key not in self.batch.shards:
            return data.decode(read_value(self.path(key)))
        joined: list[Any] = []
        for part in self.batch.shards[key]:
            value = self.value(part)
            if not isinstance(value, list):
                label = self.run.labels.get(part, part)
                raise TypeError(f"{label} returned a {type(value).__name__}; with shard= each part is a list")
            joined += value
        return joined

    def of(self, key: str) -> list[Outcome]:
        """Return the outcomes of a call, or of its parts; those that never came are left out."""
        return [self.outcomes[part] for part in self.batch.parts(key) if part in self.outcomes]

    def path(self, key: str) -> Path:
        """Return the file of an outcome."""
        # Made when it is needed: a run without results leaves nothing to clean up.
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="pytest-modal-results-"))
        self._directory.mkdir(parents=True, exist_ok=True)
        return self._directory / key

    def save(self) -> None:
        """Write down what is known of the run: other processes can `load` it from now on."""
        with _whole(self.path(_RECORD)) as stream:
            write_message(stream, dataclasses.asdict(self.run))

    def load(self) -> bool:
        """Read what other processes have left in the directory; return whether the run was complete."""
        if self._directory is None or not self._directory.is_dir():
            return False
        for path in self._directory.iterdir():
            if path.name != _RECORD and not path.name.startswith("."):
                self.outcomes[path.name] = read_outcome(path)
        record = self._directory / _RECORD
        if not record.exists():
            return False
        self.run = Run(**_header(record))
        return True

    def close(self) -> None:
        """Delete the values, if nobody else is to read them."""
        if self._directory is not None and not self.is_shared:
            shutil.rmtree(self._directory, ignore_errors=True)


def read_outcome(path: Path) -> Outcome:
    """Read an outcome without its value."""
    header = _header(path)
    return Outcome(**{**header, "loads": [Load(**load) for load in header["loads"]]})


def read_value(path: Path) -> bytes:
    """Read the encoded value of an outcome."""
    with path.open("rb") as stream:
        header, value = _lengths(stream)
        stream.seek(header, os.SEEK_CUR)
        body = stream.read(value)
    if len(body) < value:
        raise data.CorruptDataError(f"{path} is cut off")
    return body


def _header(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as stream:
        length, _ = _lengths(stream)
        header: Mapping[str, Any] = data.decode(stream.read(min(length, path.stat().st_size)))
    return header


def _lengths(stream: IO[bytes]) -> tuple[int, int]:
    packed = stream.read(Frame.size)
    if len(packed) < Frame.size:
        raise data.CorruptDataError("an outcome is cut off")
    header, value = Frame.unpack(packed)
    return header, value


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as stream:
            yield stream
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Give a file another name, replacing what had it; copy it where that can't be."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            os.link(source, draft)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        # Two names of one file are not replaced by each other.
        draft.unlink(missing_ok=True)


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
    calls: tuple[CallFacts, ...]


def facts(results: Results) -> SessionFacts:
    """Summarize a run for tests."""
    calls = tuple(
        CallFacts(label, outcome.device, outcome.container, outcome.seconds, outcome.peak_memory)
        for key, label in results.run.labels.items()
        if (outcome := results.outcomes.get(key)) is not None
    )
    return SessionFacts(results.mode, results.run.app_id, results.run.dashboard_url, calls)
