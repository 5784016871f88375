"""Paths of recordings, beside the tests; which of them are no longer used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_modal.committed import open_regular, read_regular
from pytest_modal.store.files import DRAFT, safe_name, short_digest
from pytest_modal.store.recordings.errors import AGAIN, TamperedRecordingError
from pytest_modal.store.recordings.model import Name

DIRECTORY = "recordings"
FORMAT = "pytest_modal_recording"
_ARRAYS = re.compile(r"(.+)-[0-9a-f]{16}\.npz")


def recording_path(directory: Path, name: Name) -> Path:
    """Return where the recording of a call is: ``<directory>/<module>/<fixture>[<params>].json``."""
    stem = safe_name(str(name)) + (f"-{short_digest(name.apart)}" if name.apart else "")
    return directory / safe_name(name.module) / f"{stem}.json"


def told_apart(names: Mapping[str, tuple[Name, str]]) -> dict[str, Name]:
    """Return the names of all calls of a batch, each with its own file.

    Parameters
    ----------
    names : mapping of str to (Name, str)
        By the key of a call, its name and what identifies it whatever is selected and however its code changes.

    Returns
    -------
    dict of str to Name
        With more in `Name.apart` where two would share a file, on systems that ignore case too.
    """
    found = {key: name for key, (name, _) in names.items()}
    for further in ({key: identity for key, (_, identity) in names.items()}, {key: key for key in names}):
        shared: dict[str, list[str]] = {}
        for key, name in found.items():
            shared.setdefault(str(recording_path(Path(), name)).casefold(), []).append(key)
        for clashing in (keys for keys in shared.values() if len(keys) > 1):
            for key in clashing:
                found[key] = replace(found[key], apart=found[key].apart + further[key])
    return found


def check_place(path: Path) -> None:
    """Refuse links: their targets are not in the recordings.

    Raises
    ------
    TamperedRecordingError
        The file, its arrays, its directory or ``recordings/`` itself is a symbolic link.
    """
    for step in (path.parent.parent, path.parent, path):
        if step.is_symlink():
            raise TamperedRecordingError(
                "recordings are not read or written through a symbolic link",
                step,
                remedy=f"remove it, then record: {AGAIN}",
            )


def arrays_named(path: Path) -> list[Path]:
    """Return the files of arrays that a recording names, whatever else is wrong with it."""
    try:
        text = read_regular(path)
    except OSError:
        return []
    beside = [entry for entry in path.parent.iterdir() if _recording_of(entry) == path]
    return [entry for entry in beside if f'"{entry.name}"'.encode() in text]


def _recording_of(arrays: Path) -> Path | None:
    match = _ARRAYS.fullmatch(arrays.name)
    return arrays.with_name(f"{match[1]}.json") if match else None


def unused_recordings(directory: Path, used: Iterable[Path]) -> list[Path]:
    """Return the files that the recordings in use don't need: other recordings, their arrays, drafts of crashed runs.

    Parameters
    ----------
    directory : Path
        The ``recordings/`` beside the tests.
    used : iterable of Path
        The recordings in use, as `Finder` finds them.

    Returns
    -------
    list of Path
        Sorted; drafts are directories. Files that are not ours are left out.
    """
    kept = set(used)
    named = {arrays for path in kept for arrays in arrays_named(path)}
    return [
        entry
        for entry in sorted(directory.glob("*/*"))
        if entry not in kept | named and _is_ours(entry) and not entry.parent.is_symlink()
    ]


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return path.name.startswith(DRAFT) and not path.is_symlink()
    if not path.is_file() or path.suffix != ".json":
        return path.is_file() and _recording_of(path) is not None
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            return FORMAT.encode() in stream.read(100)
    except OSError:
        return False
