"""Files that appear whole, and names that every system takes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test

LONGEST_NAME = 100


def short_digest(text: str) -> str:
    """Return eight hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def safe_name(name: str) -> str:
    """Return `name` as a file name that every system and upload takes, with a hash if that changed it."""
    safe = re.sub(r"[^A-Za-z0-9._+=,@()\[\]-]", "_", name)[:LONGEST_NAME].rstrip(".")
    if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.IGNORECASE):
        safe = f"_{safe}"  # a device on Windows, whatever its suffix
    return safe if safe == name else f"{safe[: LONGEST_NAME - 9] or '_'}-{short_digest(name)}"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to, which replaces `path` when all went well and is gone when not."""
    # Of the same name, in a directory beside: suffixes tell writers the format, and archives store the name.
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as scratch:
        draft = Path(scratch, path.name)
        yield draft
        draft.replace(path)


def write_json(path: Path, data: object) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Half a surrogate pair has no UTF-8; Python's escape for it is also JSON's.
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_record(path: Path, record: object) -> None:
    """Write plain data as JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft:
        write_json(draft, record)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
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
