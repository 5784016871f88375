"""Reading of recordings without trusting them: nothing is executed, unpickled or followed, everything is checked."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, get_args

from pytest_modal.batch.outcomes import Status
from pytest_modal.committed import MOST_BYTES, open_regular
from pytest_modal.store.recordings.arrays import ArrayFile
from pytest_modal.store.recordings.errors import (
    AGAIN,
    Damage,
    MalformedRecordingError,
    MissingRecordingError,
    RecordingError,
    RecordingVersionError,
    StaleRecordingError,
    TamperedRecordingError,
    TruncatedRecordingError,
)
from pytest_modal.store.recordings.model import Keys, Name, Recording, RunFacts, differences
from pytest_modal.store.recordings.paths import FORMAT, check_place, recording_path
from pytest_modal.store.recordings.text import deep_stack, parse, seal
from pytest_modal.store.recordings.values import ValueReader
from pytest_modal.store.recordings.writing import OUTDATED_KEYS, VERSION, digest_of_file
from pytest_modal.wording import count, safe_line

_DIGEST = re.compile("[0-9a-f]{40}")


def read_recording(path: Path) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path : Path
        The JSON file, as `Finder` finds it.

    Returns
    -------
    Recording
        Its value equal to what was recorded, of the same types, bit for bit.

    Raises
    ------
    MissingRecordingError, TruncatedRecordingError, TamperedRecordingError, RecordingVersionError, \
MalformedRecordingError
        What is wrong with it; all are `RecordingError`.
    """
    check_place(path)
    with _as_errors(path), deep_stack():
        recording, document = _checked(path)
        return _with_value(recording, document, path)


def read_description(path: Path) -> Recording:
    """Read which call a recording is of and what it depended on; its value is left out.

    Raises
    ------
    RecordingError
        As `read_recording`, but for what is wrong with the value.
    """
    check_place(path)
    with _as_errors(path), deep_stack():
        return _checked(path)[0]


def _checked(path: Path) -> tuple[Recording, dict[str, Any]]:
    document = _document(path)
    _check_version(path, document)
    if document.get("digest") != seal(document):
        raise TamperedRecordingError("the recording was changed: its digest does not match", path)
    recording = _recording(document)
    if recording_path(path.parent.parent, recording.name) != path:
        shown = safe_line(recording.name)
        raise TamperedRecordingError(f"the recording of {shown} has the wrong file name", path)
    return recording, document


def check_fresh(path: Path, recorded: Keys, wanted: Keys) -> None:
    """Compare what a recording depended on with what the test depends on.

    Raises
    ------
    StaleRecordingError
        They differ; the message names what has changed.
    """
    if recorded.outdated:
        what = (
            "the recording is stale: an earlier version of pytest-modal made it, which compared code in another way, "
            "so that it is not known whether the code has changed since"
        )
        raise StaleRecordingError(what, path, remedy=f"record everything again, once: {AGAIN}")
    found = differences(recorded, wanted)
    if found:
        listed = "".join(f"\n  changed: {safe_line(each)}" for each in found)
        raise StaleRecordingError(
            f"the recording is stale: what it depends on has changed{listed}",
            path,
            remedy=f"record it again: {AGAIN}; or undo the change",
        )


@contextlib.contextmanager
def _as_errors(path: Path, what: str = "the recording can't be read") -> Iterator[None]:
    """Turn every exception that damage can cause into an error that names the file."""
    try:
        yield
    except RecordingError:
        raise
    except Damage as damage:
        inside = safe_line("".join(reversed(damage.segments)))
        raise MalformedRecordingError(f"{what}: {damage}", path, inside) from None
    except OSError as error:
        raise RecordingError(f"{what}: {error.strerror or error}", path) from None
    # Only a file that was forged on purpose, with its digest, gets here.
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError) as error:
        raise MalformedRecordingError(f"{what}: {type(error).__name__}: {safe_line(error)}", path) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    check_place(path)
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise MissingRecordingError("the recording is missing", path, remedy=f"record it: {AGAIN}") from None
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise TamperedRecordingError("the recording is not a regular file", path) from None
        raise
    with os.fdopen(descriptor, "rb") as stream:
        yield stream, os.fstat(descriptor).st_size


def _document(path: Path) -> dict[str, Any]:
    with _opened(path) as (stream, size):
        if size > MOST_BYTES:
            raise MalformedRecordingError(f"the recording is larger than {MOST_BYTES >> 20:,} MiB", path)
        raw = stream.read(size)
    try:
        document = parse(raw.decode())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        if raw.rstrip().rpartition(b"\n")[2] != b"}":
            raise TruncatedRecordingError("the recording is truncated: its end is missing", path) from None
        raise TamperedRecordingError(f"the recording was changed: it is no longer JSON ({error})", path) from None
    except RecursionError:
        raise MalformedRecordingError("the recording can't be read: nested too deeply", path) from None
    if type(document) is not dict or FORMAT not in document:
        raise MalformedRecordingError("the file is JSON, but not a recording", path)
    return document


def _check_version(path: Path, document: dict[str, Any]) -> None:
    version = document[FORMAT]
    if type(version) is not int:
        what = f"the version of the recording's format is {str(version)[:50]!r}, not a whole number"
        raise MalformedRecordingError(what, path)
    if version not in (VERSION, OUTDATED_KEYS):
        newer = version > VERSION
        raise RecordingVersionError(
            f"the recording has format {version}; this version of pytest-modal reads format {VERSION}",
            path,
            remedy="upgrade: pip install --upgrade pytest-modal" if newer else f"record it again: {AGAIN}",
        )


def _recording(document: dict[str, Any]) -> Recording:
    known = {
        FORMAT, "module", "fixture", "params", "apart", "status", "recorded", "keys", "stdout", "stderr", "value",
        "arrays", "digest",
    }  # fmt: skip
    if unknown := set(document) - known:
        raise Damage(f"unknown field {min(unknown)[:50]!r}")
    facts, keys = _member(document, "recorded", dict), _member(document, "keys", dict)
    status = _member(document, "status", str)
    if status not in get_args(Status) or "value" not in document:
        raise Damage(f"status {status[:50]!r} {'with' if 'value' in document else 'without'} a value")
    return Recording(
        Name(
            _member(document, "module", str),
            _member(document, "fixture", str),
            tuple(_all(str, _member(document, "params", list), "params")),
            _member(document, "apart", str),
        ),
        Keys(
            _texts(keys, "function"),
            _texts(keys, "arguments"),
            _member(keys, "environment", dict),
            document[FORMAT] == OUTDATED_KEYS,
        ),
        RunFacts(
            _member(facts, "date", str),
            _member(facts, "gpu", str),
            _member(facts, "python", str),
            _texts(facts, "packages"),
            _member(facts, "seconds", float),
        ),
        None,
        status,
        _member(document, "stdout", str) if "stdout" in document else None,
        _member(document, "stderr", str) if "stderr" in document else None,
    )


def _member(parent: dict[str, Any], name: str, kind: type) -> Any:
    if name not in parent:
        raise Damage(f"{name!r} is missing")
    if type(parent[name]) is not kind:
        raise Damage(f"{name!r} is of type {type(parent[name]).__name__}, not {kind.__name__}")
    return parent[name]


def _texts(parent: dict[str, Any], name: str) -> dict[str, str]:
    found: dict[str, str] = _member(parent, name, dict)
    _all(str, list(found.values()), name)
    return found


def _all(kind: type, values: list[Any], name: str) -> list[Any]:
    if not all(type(value) is kind for value in values):
        raise Damage(f"something in {name!r} is not of type {kind.__name__}")
    return values


def _with_value(recording: Recording, document: dict[str, Any], path: Path) -> Recording:
    if "arrays" not in document:
        return replace(recording, value=_value(document, None))
    described = _member(document, "arrays", dict)
    digest = _member(described, "digest", str)
    # No path is taken from the file: the name of the arrays beside it follows from their content.
    beside = path.with_name(f"{path.stem}-{digest[:16]}.npz")
    if not _DIGEST.fullmatch(digest) or described.get("file") != beside.name:
        raise Damage(f"the arrays are in {str(described.get('file'))[:100]!r}, not in the file beside this recording")
    with _as_errors(beside, "the arrays can't be read"), _opened(beside) as (stream, size):
        announced = _member(described, "bytes", int)
        if size < announced:
            raise TruncatedRecordingError(
                f"the arrays are truncated: {size:,} of {count(announced, 'byte')} are there", beside
            )
        if size > announced or digest_of_file(stream) != digest:
            raise TamperedRecordingError("the arrays were changed: their digest does not match", beside)
        file = ArrayFile(stream, size)
        value = _value(document, file)
        file.close()
    return replace(recording, value=value)


def _value(document: dict[str, Any], file: ArrayFile | None) -> Any:
    try:
        return ValueReader(file).node(document["value"])
    except Damage as damage:
        damage.segments.append("value")
        raise
