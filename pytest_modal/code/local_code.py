"""Which code is the project's own, and where it is written."""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modal.code.places import is_local
from pytest_modal.code.syntax import ModuleSyntax, read_syntax
from pytest_modal.wording import three_parts

Names = Mapping[str, Any]  # the names of a module

PYTESTS_AND_OURS = ("pytest", "_pytest", "pytest_modal")


class CodeKeyError(Exception):
    """The source of a function can't be read; the message says where and what to do."""


class LocalCode:
    """Files of the project, but those of packages that travel as they are.

    Parameters
    ----------
    rootdir : Path
        The directory of the project.
    local_packages : tuple of str
        Packages that travel as they are.
    own_image : bool
        Whether the project defines the image, which may have whatever has no source.
    """

    def __init__(self, rootdir: Path, local_packages: tuple[str, ...] = (), *, own_image: bool = False) -> None:
        self.own_image = own_image
        self.rootdir = rootdir
        self._real_rootdir = os.path.realpath(rootdir)
        self._elsewhere = (*local_packages, *PYTESTS_AND_OURS)

    def travels_elsewhere(self, module: str) -> bool:
        """Whether a module is of a package that travels as it is, of pytest, or of this plugin."""
        return any(is_below(module, each) for each in self._elsewhere)

    def file(self, scope: Names) -> Path | None:
        """Return the file of a module, if it is local."""
        path, name = scope.get("__file__"), scope.get("__name__", "")
        if not isinstance(path, str) or not isinstance(name, str) or not path.endswith(".py"):
            return None
        return Path(path) if not self.travels_elsewhere(name) and is_local(path, self.rootdir) else None

    def key(self, path: Path) -> str:
        """Return how a file of the project is named in what travels: its path relative to the rootdir."""
        return Path(os.path.relpath(os.path.realpath(path), self._real_rootdir)).as_posix()

    def path(self, key: str) -> Path:
        """Return the file of a key."""
        return Path(os.path.normpath(self.rootdir / key))


def is_below(module: str, package: str) -> bool:
    """Whether a module is a package, or in it, by their dotted names."""
    return module == package or module.startswith(f"{package}.")


def read(path: Path) -> ModuleSyntax:
    """Return the syntax of a file.

    Raises
    ------
    CodeKeyError
        It can't be read, or is not Python.
    """
    try:
        return read_syntax(path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = f"a source file can't be read: {type(error).__name__}: {error}"
        remedy = "restore the file and run pytest again: results are keyed by their source"
        raise CodeKeyError(three_parts(what, path, remedy)) from None


def changed_since_import(function: types.FunctionType, path: Path) -> CodeKeyError:
    """Return the error for a function that its file does not have."""
    return CodeKeyError(
        three_parts(
            f"{function.__qualname__} was not found in its source file",
            f"{path}:{function.__code__.co_firstlineno}",
            "run pytest again: the file changed while it ran",
        )
    )
