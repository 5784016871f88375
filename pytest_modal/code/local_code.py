"""Which code is the project's own, where it is written, and what a name in it is bound to."""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modal.code.syntax import FunctionSyntax, ModuleSyntax, fingerprint, read_syntax
from pytest_modal.wording import three_parts

Names = Mapping[str, Any]  # the names of a module

PYTESTS_AND_OURS = ("pytest", "_pytest", "pytest_modal")
# Both may lie below the rootdir: when that is the home directory, or holds the interpreter's environment.
_STANDARD_LIBRARY = [os.path.realpath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")]
_INSTALLED = {"site-packages", "dist-packages"}


@functools.lru_cache(maxsize=8192)
def is_local(path: str | Path, rootdir: Path) -> bool:
    """Whether a file is the project's own: below the rootdir, and neither installed nor of the standard library.

    Links are followed on both sides, so that a project is the same one by whatever path it was entered.
    """
    real = Path(os.path.realpath(path))
    if _INSTALLED & set(real.parts) or any(real.is_relative_to(library) for library in _STANDARD_LIBRARY):
        return False
    return real.is_relative_to(os.path.realpath(rootdir))


class CodeKeyError(Exception):
    """The source of a function can't be read; the message says where and what to do."""


@dataclass(frozen=True)
class Origin:
    """Where a name is bound: by which statements of which module; none where that is unknown."""

    module: str
    name: str
    statements: list[ast.stmt]
    scope: Names

    @property
    def key(self) -> tuple[int, str]:
        """What distinguishes it from other origins: modules can share their name."""
        return id(self.scope), self.name

    @property
    def imported(self) -> bool:
        """Whether it comes from an installed package, in one case at least."""
        return any(isinstance(statement, ast.Import | ast.ImportFrom) for statement in self.statements)


class LocalCode:
    """The modules under the rootdir, but those of installed packages and those that travel as packages.

    Parameters
    ----------
    rootdir : Path
        What lies under it is local.
    local_packages : tuple of str
        Packages that travel as they are.
    """

    def __init__(self, rootdir: Path, local_packages: tuple[str, ...]) -> None:
        self._rootdir, self._elsewhere = rootdir, (*local_packages, *PYTESTS_AND_OURS)

    def origins(self, name: str, scope: Names) -> Iterator[Origin]:
        """Follow a name through imports between local modules to where it is bound."""
        seen: set[tuple[int, str]] = set()
        waiting = [(name, scope)]
        while waiting:
            name, scope = waiting.pop()
            if (id(scope), name) in seen:
                continue
            seen.add((id(scope), name))
            path = self.file(scope)
            bindings = self.read(path).bindings if path is not None else {}
            statements = bindings.get(name) or (bindings.get("*", []) if name in scope else [])
            kept: list[ast.stmt] = []
            for statement in statements:
                local = self._local_import(statement, name, scope)
                if local is not None:
                    waiting.append(local)
                else:
                    kept.append(statement)
            if kept or not statements:
                yield Origin(scope.get("__name__", "?"), name, kept, scope)

    def _local_import(self, statement: ast.stmt, bound: str, scope: Names) -> tuple[str, Names] | None:
        if not isinstance(statement, ast.ImportFrom):
            return None
        package = scope.get("__package__") or scope.get("__name__", "").rpartition(".")[0]
        try:
            full = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
        except ImportError:
            return None
        module, name = sys.modules.get(full), statement.names[0].name
        name = bound if name == "*" else name
        if module is None or self.file(vars(module)) is None or name not in vars(module):
            return None
        return name, vars(module)

    def definitions(self, function: types.FunctionType, path: Path) -> list[FunctionSyntax]:
        """Return the definition of a function in its file; several lambdas if nothing distinguishes them."""
        nodes = self.read(path).definitions(function.__code__)
        if not nodes:
            raise CodeKeyError(
                three_parts(
                    f"{function.__qualname__} was not found in its source file",
                    f"{path}:{function.__code__.co_firstlineno}",
                    "run pytest again: the file changed while it ran",
                )
            )
        return nodes

    def digest(self, path: Path) -> str:
        """Return the digest of a whole file."""
        return fingerprint(self.read(path).tree)

    def read(self, path: Path) -> ModuleSyntax:
        """Return the syntax of a file."""
        try:
            return read_syntax(path)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            what = f"a source file can't be read: {type(error).__name__}: {error}"
            remedy = "restore the file and run pytest again: results are keyed by their source"
            raise CodeKeyError(three_parts(what, path, remedy)) from None

    def path_of(self, function: types.FunctionType) -> Path | None:
        """Return the local file that a function is written in."""
        written_in = function.__code__.co_filename
        local = self.file(function.__globals__)
        if local is not None and local.name == Path(written_in).name:
            return local  # compiled code remembers where the project was when it was compiled
        path = Path(written_in)
        return path if local is not None and is_local(path, self._rootdir) and path.is_file() else None

    def file(self, scope: Names) -> Path | None:
        """Return the file of a module, if it is local."""
        path, name = scope.get("__file__"), scope.get("__name__", "")
        if not isinstance(path, str) or not isinstance(name, str) or not path.endswith(".py"):
            return None
        top = name.partition(".")[0]
        if top in self._elsewhere or not is_local(path, self._rootdir):
            return None
        return Path(path)

    def has_module(self, module: object) -> bool:
        """Whether the module of this name is local."""
        loaded = sys.modules.get(module) if isinstance(module, str) else None
        return loaded is not None and self.file(vars(loaded)) is not None
