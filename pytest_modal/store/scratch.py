"""Temporary directories, held while their run lives: what killed runs have left is deleted by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "pytest-modal-"
_HELD = ".held"  # a file that is made once the lock is there: without it, nobody can tell whether the run lives


@contextlib.contextmanager
def temporary_directory(parent: Path | None = None) -> Iterator[Path]:
    """Yield a directory that only this user can read, which is gone at the end of the block.

    Parameters
    ----------
    parent : Path or None
        Where to make it; None for the system's directory of temporary files.
    """
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as name:
        descriptor = hold(Path(name))
        try:
            yield Path(name)
        finally:
            os.close(descriptor)


def hold(directory: Path) -> int:
    """Keep other runs from deleting a directory until the descriptor that is returned is closed.

    The system closes it if this process is killed; it knows of processes that can't see each other, too.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    with contextlib.suppress(OSError):  # without locks there, others leave the directory alone
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        (directory / _HELD).touch()
    return descriptor


def clean(parent: Path | None = None) -> None:
    """Delete the directories of this user that no living run holds; see `temporary_directory`."""
    for directory in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid() and (directory / _HELD).exists():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)
