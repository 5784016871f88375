"""Files of the project, which the local worker process refuses to read: a container does not have them.

Python's audit events report what Python reads. What C and Rust code opens by itself is not seen, nor is what only asks
about a file (``os.stat``, ``os.path.exists``), nor what other processes read.
"""

from __future__ import annotations

import errno
import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from pytest_modal.remote.audit import listen
from pytest_modal.remote.installed import is_installed
from pytest_modal.remote.scratch import is_below, scratch_directories

# Events, and which of their arguments are paths that are read.
_READING = {
    "os.listdir": (0,),
    "os.scandir": (0,),
    "os.chdir": (0,),
    "os.exec": (0,),
    "os.posix_spawn": (0,),
    "subprocess.Popen": (0, 2),
    "ctypes.dlopen": (0,),
}
_MAKING = os.O_CREAT | os.O_TRUNC
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_MESSAGE = (
    "a container has no files of the project: read it in a local fixture and pass its content as a parameter, "
    "or use local_packages= or volumes="
)
# What imports read: it is decided without a look at the disk.
_PACKAGES = tuple(sysconfig.get_path(kind) + os.sep for kind in ("purelib", "platlib", "stdlib", "platstdlib"))


class ProjectFiles:
    """Refuses to read what is below some directories.

    Of nested directories the innermost decides. What this process itself has written may be read again.

    Parameters
    ----------
    roots : iterable of str
        The directories of the project.
    apart : iterable of str
        Directories that may be read, wherever they are; so may installed packages, caches and temporary directories.
    """

    def __init__(self, roots: Iterable[str], apart: Iterable[str]) -> None:
        rules = dict.fromkeys(_both([*scratch_directories(), *apart]), False)
        rules |= dict.fromkeys(_both(roots), True)
        self._rules = sorted(rules.items(), key=lambda rule: len(rule[0]), reverse=True)
        self._own: set[str] = set()

    def refuse(self) -> None:
        """Begin; nothing ends it."""
        listen("open", self._opened)
        listen("sqlite3.connect", self._connected)
        for event, positions in _READING.items():
            listen(event, _Reads(self, positions))
        listen("os.mkdir", lambda arguments: self._made(arguments[0]))
        for event in ("os.rename", "os.link", "os.symlink"):
            listen(event, lambda arguments: self._made(arguments[1], anew=True))

    def read(self, path: object) -> None:
        """Raise an error if a file or directory is the project's, and exists: without it, Python has its own error."""
        place = _place(path)
        if place is None or place.startswith(_PACKAGES):
            return
        real = os.path.realpath(place)
        if (self._is_project(place) or self._is_project(real)) and not self._is_own(real) and os.path.lexists(place):
            raise FileNotFoundError(errno.ENOENT, _MESSAGE, place)

    def _opened(self, arguments: tuple[object, ...]) -> None:
        path, _, flags = arguments
        flags = flags if isinstance(flags, int) else os.O_RDONLY
        if flags & _MAKING or flags & _ACCESS == os.O_WRONLY:
            self._made(path, anew=bool(flags & os.O_TRUNC))
        else:
            self.read(path)

    def _connected(self, arguments: tuple[object, ...]) -> None:
        self._made(arguments[0])  # a database that does not exist is made
        self.read(arguments[0])

    def _made(self, path: object, *, anew: bool = False) -> None:
        """Note what this process writes; what is there already is the project's, unless it is written anew."""
        place = _place(path)
        if place is None or place.startswith(_PACKAGES):
            return
        real = os.path.realpath(place)
        if self._is_project(real) and (anew or not os.path.lexists(real)):
            self._own.add(real)

    def _is_own(self, real: str) -> bool:
        return bool(self._own) and (real in self._own or any(str(each) in self._own for each in Path(real).parents))

    def _is_project(self, path: str) -> bool:
        decided = next((is_project for root, is_project in self._rules if is_below(path, root)), False)
        return decided and not is_installed(Path(path))


class _Reads:
    """Listens to an event that reads files."""

    def __init__(self, files: ProjectFiles, positions: tuple[int, ...]) -> None:
        self._files, self._positions = files, positions

    def __call__(self, arguments: tuple[object, ...]) -> None:
        for position in self._positions:
            self._files.read(arguments[position])


def _place(path: object) -> str | None:
    """Return the absolute path that an event names; None for what is open already, and what is none."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    try:
        return os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    except (OSError, ValueError, TypeError):
        return None


def _both(directories: Iterable[str]) -> list[str]:
    """Return directories as they are written and by their real paths."""
    return [path for each in directories for path in (os.path.abspath(each), os.path.realpath(each))]  # noqa: PTH100
