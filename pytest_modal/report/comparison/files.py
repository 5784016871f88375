"""Content of files that differ between two runs, where they are still as they were."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from pathlib import PurePosixPath

from pytest_modal.committed import read_regular
from pytest_modal.report.comparison.model import FileChange, Run
from pytest_modal.report.comparison.tables import table_change
from pytest_modal.report.differences import ArtifactChange
from pytest_modal.report.record import ArtifactEntry

_MOST = 1 << 25  # bytes of a file
# A browser runs no script of an image, an SVG's neither.
_IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


class _GoneError(Exception):
    """A file is not what the record of the run says, or not there."""


def compare_file(change: ArtifactChange, before: Run, after: Run) -> FileChange:
    """Return a file that differs with its content in both runs, as far as that is a table or an image."""
    name = change.path.lower()
    is_table = name.endswith((".csv", ".csv.gz"))
    media = _IMAGES.get(PurePosixPath(name).suffix, "")
    if not (is_table and change.was and change.now) and not media:
        return FileChange(change)
    contents, notes = [b"", b""], list[str]()
    for index, (entry, run, which) in enumerate(((change.was, before, "earlier"), (change.now, after, "later"))):
        try:
            contents[index] = b"" if entry is None else _content(entry, run)
        except _GoneError as error:
            notes.append(f"that of the {which} run {error}")
    note = "; ".join(notes)
    if media:
        was, now = (f"data:{media};base64,{base64.b64encode(each).decode()}" if each else "" for each in contents)
        return FileChange(change, was=was, now=now, note=note)
    if note:
        return FileChange(change, note=note)
    try:
        return FileChange(change, table_change(*(_text(name, each) for each in contents)))
    except (ValueError, OSError, EOFError) as error:
        return FileChange(change, note=f"can't be compared by rows: {error}")


def _content(entry: ArtifactEntry, run: Run) -> bytes:
    path = run.root / entry["path"]
    if not path.resolve().is_relative_to(run.root.resolve()):
        raise _GoneError("is not in its output directory")
    try:
        content = read_regular(path, _MOST)
    except FileNotFoundError:
        raise _GoneError("is gone") from None
    except OSError as error:
        raise _GoneError(f"can't be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _GoneError("was overwritten since")
    return content


def _text(name: str, content: bytes) -> str:
    if name.endswith(".gz"):
        with gzip.open(io.BytesIO(content)) as stream:
            content = stream.read(_MOST)
    return content.decode("utf-8-sig")
