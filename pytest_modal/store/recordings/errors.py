"""Errors of recordings, one for each thing that can be wrong: what happened, where, what to do."""

from __future__ import annotations

from pathlib import Path

from pytest_modal.wording import safe_line, three_parts

AGAIN = "pytest --modal --modal-record"


class RecordingError(Exception):
    """A recording can't be used.

    Parameters
    ----------
    what : str
        What happened.
    path : Path
        The file.
    inside : str
        The place in the file, where one is known.
    remedy : str
        What to do; by default to record again, or to restore the committed file.
    """

    def __init__(self, what: str, path: Path, inside: str = "", remedy: str = "") -> None:
        self.what, self.path, self.inside = what, path, inside
        self.remedy = remedy or f"restore the committed file (git checkout), or record it again: {AGAIN}"
        super().__init__(what, path, inside, remedy)

    def __str__(self) -> str:
        where = f"{self.path}, {self.inside}" if self.inside else str(self.path)
        return three_parts(self.what, where, self.remedy)


class MissingRecordingError(RecordingError):
    """There is no such file."""


class TruncatedRecordingError(RecordingError):
    """The end of a file is missing."""


class TamperedRecordingError(RecordingError):
    """A file is not what was recorded: changed, damaged, or a link that leads elsewhere."""


class RecordingVersionError(RecordingError):
    """The file has the format of another version of this plugin."""


class MalformedRecordingError(RecordingError):
    """Something in the file is of the wrong type, or in the wrong place."""


class StaleRecordingError(RecordingError):
    """What the recording depends on has changed since it was made."""


class SecretInRecordingError(RecordingError):
    """What would be recorded holds a secret; nothing is written."""


class Damage(ValueError):  # noqa: N818 - it never leaves this package
    """A part of a recording can't be read; carries its path upwards."""

    def __init__(self, what: str) -> None:
        super().__init__(safe_line(what))
        self.segments: list[str] = []
