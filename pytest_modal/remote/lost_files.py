"""Files that a call really writes and that are lost with the container.

Python's audit events report every file that is opened from Python; what libraries write from C (`torch.save`,
parquet) is seen where it is new in the working directory.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_modal.remote.audit import listen
from pytest_modal.remote.scratch import is_below, scratch_directories

KEPT = 20  # paths of a call that are reported
_LIMIT = 10_000  # paths of a call that are remembered
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_recorded: dict[str, None] | None = None  # of the call that runs now
_temporary: list[str] = []  # directories that calls have made with `tempfile`


# These run at audit events of the whole process, and never raise.


def _opened(arguments: tuple[object, ...]) -> None:
    if _recorded is not None and len(arguments) == 3 and _is_writing(arguments[2]):
        _remember(arguments[0])


def _renamed(arguments: tuple[object, ...]) -> None:
    if _recorded is not None:
        _remember(arguments[1])


def _made(arguments: tuple[object, ...]) -> None:
    if _recorded is not None and len(_temporary) < _LIMIT:
        with contextlib.suppress(OSError, ValueError, TypeError):
            _temporary.append(os.path.abspath(os.fsdecode(arguments[0])))  # type: ignore[arg-type]  # noqa: PTH100


def _is_writing(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & _WRITING)


def _remember(path: object) -> None:
    if _recorded is not None and isinstance(path, str | bytes | os.PathLike) and len(_recorded) < _LIMIT:
        with contextlib.suppress(OSError, ValueError, TypeError):
            _recorded[os.path.abspath(os.fsdecode(path))] = None  # noqa: PTH100


@contextlib.contextmanager
def watching(mounts: Iterable[str] = ()) -> Iterator[list[str]]:
    """Yield a list that holds, after the block, the files that were written in it and are lost.

    Parameters
    ----------
    mounts : iterable of str
        Paths of volumes: what is written there stays.
    """
    global _recorded
    for event, listener in (("open", _opened), ("os.rename", _renamed), ("tempfile.mkdtemp", _made)):
        listen(event, listener)
    found: list[str] = []
    # The call may go elsewhere, and what lies there is not its own; it may also delete the directory that it is in.
    home = _working_directory()
    before = _listing(home)
    _recorded = {}
    try:
        yield found
    finally:
        written, _recorded = _recorded, None
        # Without a working directory relative paths lead nowhere, and a call may have changed the functions for them:
        # it doesn't fail for what is only reported.
        with contextlib.suppress(Exception):
            written |= {str(Path(home, name)): None for name in sorted(_listing(home) - before)}
            found += _lost(written, home, list(mounts)) if written else ()


def _working_directory() -> str:
    """Return the working directory; an earlier call may have deleted it, then empty."""
    try:
        return os.path.realpath(Path.cwd())
    except OSError:
        return ""


def _listing(directory: str) -> set[str]:
    if not directory:
        return set()
    try:
        return {entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}
    except OSError:
        return set()


def _lost(written: Iterable[str], here: str, mounts: list[str]) -> list[str]:
    """Return those that still exist and are neither scratch files nor kept; those below `here` relative to it."""
    kept = [os.path.realpath(Path(here, path)) for path in [*mounts, *_temporary]]
    scratch = [os.path.realpath(Path(here, path)) for path in scratch_directories()]
    lost = []
    for path in written:
        real = os.path.realpath(path)
        # The working directory itself may lie in a temporary one: locally it does.
        below = bool(here) and is_below(real, here)
        inside = below and not any(is_below(root, here) and is_below(real, root) for root in scratch)
        if any(is_below(real, root) for root in kept) or "__pycache__" in Path(real).parts:
            continue
        if (inside or not any(is_below(real, root) for root in scratch)) and Path(real).is_file():
            lost.append(os.path.relpath(real, here) if inside else path)
    return list(dict.fromkeys(lost))[:KEPT]
