"""Local packages that travel as they are: their files, compiled modules and data included."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from pytest_modal.code.distributions import is_standard, providers
from pytest_modal.code.inventory import inventory, is_importable
from pytest_modal.code.local_code import PYTESTS_AND_OURS, CodeKeyError, read
from pytest_modal.code.units import Imported, ModuleUnits


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


def imports_of(packages: Sequence[str]) -> set[str]:
    """Return what packages that travel as they are import of others, by dotted name.

    What of it the program needs is not known. So it is what is installed here, where the program runs too; and what is
    well known and imported without a guard, for a machine where it is not.
    """
    own = {package.partition(".")[0] for package in packages}
    found = set()
    for package in packages:
        for name, path in files_of(package) or ():
            if name.endswith(".py"):
                found |= {each.module for each in _imported_by(path) if _is_needed(each, own)}
    return found


def _imported_by(path: Path) -> Iterator[Imported]:
    try:
        tree = read(path).tree
    except CodeKeyError:  # a template, for example: nobody imports it
        return
    for unit in ModuleUnits(tree, lambda decorator: False).units:
        yield from (each for each in unit.imports if not each.level)


def _is_needed(imported: Imported, own: set[str]) -> bool:
    top = imported.module.partition(".")[0]
    if top in own or top in PYTESTS_AND_OURS or is_standard(top):
        return False
    if inventory().owner(imported.module) is not None:
        return True
    return bool(providers(top)) and imported.at_import and not imported.guarded and not is_importable(top)
