"""Mount namespaces in which the directories of the project are empty: a container sees what its image brings.

A container's process enters a namespace of its own before it runs anything. An empty file system lies over each
hidden directory; what the container needs of it (the interpreter, its distributions, its own files) is mounted back.
Linux allows that to root, and to others where user namespaces are permitted.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18


class Hiding:
    """Directories that containers find empty.

    Parameters
    ----------
    directories : iterable of str
        What to hide. Those that don't exist, and the root of all files, are left as they are.
    needed : iterable of Path
        What every container needs of them.
    python : Path
        An interpreter that has to run behind it all.

    Attributes
    ----------
    directories : list of Path
        What is hidden; empty where that isn't permitted.
    refused : str
        Why nothing is hidden.
    """

    def __init__(self, directories: Iterable[str], needed: Iterable[Path], python: Path) -> None:
        resolved = {Path(each).resolve() for each in directories}
        self.directories = sorted(each for each in resolved if each.is_dir() and each != Path("/"))
        self._needed = list(needed)
        self.refused = self._refusal(python) if self.directories else "nothing was to be hidden"
        if self.refused:
            self.directories = []

    def enter(self, own: Iterable[Path], instead: Mapping[Path, Path] | None = None) -> None:
        """Have this process, which must have one thread, see nothing of what is hidden but `own` and what all need.

        Parameters
        ----------
        own : iterable of Path
            Directories of this process.
        instead : mapping
            Directories that it sees in the place of hidden ones.
        """
        hide(**self.places(own, instead))

    def places(self, own: Iterable[Path], instead: Mapping[Path, Path] | None = None) -> dict[str, Any]:
        """Return the arguments of `hide` for such a process, as they can be sent to it."""
        return {
            "hidden": [str(each) for each in self.directories],
            "kept": [str(each) for each in (*self._needed, *own)],
            "instead": {str(path): str(each) for path, each in (instead or {}).items()},
        }

    def _refusal(self, python: Path) -> str:
        if not sys.platform.startswith("linux"):
            return f"{sys.platform} has no mount namespaces"

        def enter() -> None:
            try:
                self.enter([])
            except OSError as error:
                os.write(2, str(error).encode())
                os._exit(1)

        command = [python, "-I", "-c", ""]
        try:
            trial = subprocess.run(command, cwd="/", preexec_fn=enter, stderr=subprocess.PIPE, text=True, timeout=30)
        except OSError as error:  # what leads to the interpreter is hidden too, such as a link in the home directory
            return str(error)
        return trial.stderr.strip() or f"exit status {trial.returncode}" if trial.returncode else ""


def hide(hidden: Iterable[str], kept: Iterable[str], instead: Mapping[str, str]) -> None:
    """Have this process, which must have one thread, see of what is hidden only what is kept, and what is instead."""
    if not hidden:
        return
    here = Path.cwd()
    _unshare()
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    back = {Path(each).resolve(): os.open(each, os.O_PATH | os.O_CLOEXEC) for each in kept}
    shown = {Path(path): os.open(each, os.O_PATH | os.O_CLOEXEC) for path, each in instead.items()}
    empty = {*map(Path, hidden)}
    # From the top down: what is kept of a hidden directory comes after it, and what is hidden of that after both.
    for path in sorted({*back, *empty}):
        if path in empty:
            if path in shown:
                _mount(f"/proc/self/fd/{shown[path]}", str(path), "", _MS_BIND)
            elif path.is_dir():
                _mount("tmpfs", str(path), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
        elif any(each in empty for each in path.parents):
            path.mkdir(parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{back[path]}", str(path), "", _MS_BIND | _MS_REC)
    os.chdir(here)  # the old directory is still the one in front of what was mounted


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _unshare() -> None:
    """Get a mount namespace of our own; who has no right to one has it in a user namespace of their own."""
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(_CLONE_NEWNS) == 0:
        return
    if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNS):
        raise _error("unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="utf-8")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="utf-8")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="utf-8")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    if _libc().mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()):
        raise _error(f"mount on {target}")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
