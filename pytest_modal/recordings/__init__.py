"""Record and replay: one file a call, made to be reviewed, read without trusting it.

A recording is JSON, with its arrays in an ``.npz`` beside it: ``recordings/<test module>/<fixture>[<params>].json``.
Nothing in it is executed or unpickled, and neither values of environment variables nor secrets get in.
"""

from pytest_modal.recordings.errors import (
    MalformedRecordingError,
    MissingRecordingError,
    RecordingError,
    RecordingVersionError,
    SecretInRecordingError,
    StaleRecordingError,
    TamperedRecordingError,
    TruncatedRecordingError,
)
from pytest_modal.recordings.model import Facts, Keys, Name, Recording, declared, differences
from pytest_modal.recordings.places import DIRECTORY, find_recording, recording_path, told_apart, unused_recordings
from pytest_modal.recordings.reading import check_fresh, read_recording
from pytest_modal.recordings.writing import secret_values, write_recording

__all__ = [
    "DIRECTORY",
    "Facts",
    "Keys",
    "MalformedRecordingError",
    "MissingRecordingError",
    "Name",
    "Recording",
    "RecordingError",
    "RecordingVersionError",
    "SecretInRecordingError",
    "StaleRecordingError",
    "TamperedRecordingError",
    "TruncatedRecordingError",
    "check_fresh",
    "declared",
    "differences",
    "find_recording",
    "read_recording",
    "recording_path",
    "secret_values",
    "told_apart",
    "unused_recordings",
    "write_recording",
]
