"""Local packages that travel as they are: their files, compiled modules and data included."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path


def is_left_out(file: Path) -> bool:
    """Whether a file of a package stays here: caches and hidden files; the path is relative to the package."""
    return any(part == "__pycache__" or part.startswith(".") for part in file.parts)


def files_of(package: str) -> Iterator[tuple[str, Path]] | None:
    """Return the files that travel: where they are below the search path, and here; None without such a package."""
    spec = spec_of(package)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    return _files(spec, package.replace(".", "/"))


def spec_of(package: str) -> ModuleSpec | None:
    """Return how a package is imported on this machine, if it can be."""
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def _files(spec: ModuleSpec, name: str) -> Iterator[tuple[str, Path]]:
    if not spec.submodule_search_locations:
        path = Path(str(spec.origin))
        yield (Path(name).parent / path.name).as_posix(), path
    for root in spec.submodule_search_locations or ():
        for path in sorted(Path(root).rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and not is_left_out(relative):
                yield f"{name}/{relative.as_posix()}", path
