"""Files that appear whole, and names that every system takes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test

LONGEST_NAME = 100
DRAFT = ".draft-"  # prefix of the directories in which files are written before they appear


def short_digest(text: str) -> str:
    """Return a digest of a text, eight hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def safe_name(name: str) -> str:
    """Return `name` as a file name that every system and upload takes, with a hash if that changed it."""
    safe = re.sub(r"[^A-Za-z0-9._+=,@()\[\]-]", "_", name)[:LONGEST_NAME].rstrip(".")
    if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.IGNORECASE):
        safe = f"_{safe}"  # a device on Windows, whatever its suffix
    return safe if safe == name else f"{safe[: LONGEST_NAME - 9] or '_'}-{short_digest(name)}"


@contextlib.contextmanager
def draft_in(directory: Path, name: str) -> Iterator[Path]:
    """Yield the path of a draft of a file, which is gone at the end of the block unless it was moved."""
    # It has the same name, in its own directory: suffixes tell writers the format, and archives store the name.
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=directory) as scratch:
        yield Path(scratch, name)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a path to write to: that file replaces `path` if the block ends well, and is gone if not."""
    with draft_in(path.parent, path.name) as draft:
        yield draft
        draft.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8; the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft:
        # Half a surrogate pair has no UTF-8; Python's escape for it is also JSON's.
        draft.write_bytes(text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Callable[[str], object]]:
    """Yield what writes pieces of text, one after the other, into a file that appears whole; the directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream.write


def write_json(path: Path, data: object) -> None:
    """Write plain data as JSON, atomically; the directory is made."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def link(source: Path, target: Path) -> None:
    """Give a file another name, replacing what had it; copy it where that can't be."""
    with atomic_path(target) as draft:
        try:
            draft.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, draft)


def delete(path: Path) -> None:
    """Delete a file, a link, or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
