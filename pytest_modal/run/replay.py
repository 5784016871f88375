"""Replay: recorded data, and nothing is run. No token, no network, no GPU, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.outcomes import Outcome, Progress, Status
from pytest_modal.remote import data
from pytest_modal.run.protocol import Result
from pytest_modal.store.recordings.errors import MissingRecordingError, RecordingError, StaleRecordingError
from pytest_modal.store.recordings.finding import Finder
from pytest_modal.store.recordings.model import Recording, Slot
from pytest_modal.store.recordings.slots import slots
from pytest_modal.wording import shown_path


class ReplayBackend:
    """Reads the results of a batch from its recordings.

    Parameters
    ----------
    rootdir : Path
        The project.
    """

    mode = "replay"
    apps = ()
    cost = None
    notes = teardowns = containers = events = ()

    def __init__(self, rootdir: Path) -> None:
        self._rootdir = rootdir

    def describe(self) -> str:
        """Return where the batch will run."""
        return "replay of recorded data, nothing is run"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Read each recording; see `Backend.run`."""
        found, finder = slots(batch, self._rootdir), Finder()
        for call in batch.calls:
            yield self._read(call, found[call.key], finder)

    def _read(self, call: Call, slot: Slot, finder: Finder) -> Result:
        try:
            recording = finder.read(slot)
        except RecordingError as error:
            return self._refused(call, error), []
        return _recorded(call, recording), data.encode(recording.value)

    def _refused(self, call: Call, error: RecordingError) -> Outcome:
        status: Status = "bad recording"
        if isinstance(error, StaleRecordingError | MissingRecordingError):
            status = "stale recording" if isinstance(error, StaleRecordingError) else "not recorded"
        path = shown_path(error.path, self._rootdir)
        where = f"{path}, {error.inside}" if error.inside else path
        described = {"type": type(error).__name__, "message": error.what, "where": where, "remedy": error.remedy}
        return Outcome(call.key, status, phase="start", error=described)


def _recorded(call: Call, recording: Recording) -> Outcome:
    facts = recording.facts
    return Outcome(
        call.key,
        "ok",
        seconds=facts.seconds,
        device=facts.gpu,
        stdout=recording.stdout or "",
        stderr=recording.stderr or "",
        recorded=facts.date,
    )
