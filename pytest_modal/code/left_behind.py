"""Modules of the project that local packages import when they are imported, and that do not travel with them."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from pytest_modal.code.distributions import is_standard
from pytest_modal.code.inventory import inventory, place_of
from pytest_modal.code.local_code import PYTESTS_AND_OURS, is_below
from pytest_modal.code.local_packages import all_files, imports_in
from pytest_modal.code.search import is_namespace, spec_of
from pytest_modal.code.units import Imported
from pytest_modal.remote.installed import is_installed


def left_behind(
    packages: Iterable[str], entered: Iterable[str], as_source: Collection[str]
) -> tuple[str, str, str] | None:
    """Return a module that a container would not find, what to ship, and where it is imported; None without one.

    Imports in bodies of functions, and those that the program goes on without, may never run: they don't count.

    Parameters
    ----------
    packages : iterable of str
        What travels as it is.
    entered : iterable of str
        Dotted names that the functions import.
    as_source : collection of str
        Modules that travel as source.
    """
    names = tuple(packages)
    inside = tuple(sorted(each for each in entered if _travels(each, names)))
    found = _left_behind(names, inside, tuple(sys.path)) if names else ()
    return next((each for each in found if each[0] not in as_source), None)


@functools.lru_cache(maxsize=256)
def _left_behind(
    packages: tuple[str, ...], entered: tuple[str, ...], entries: tuple[str, ...]
) -> tuple[tuple[str, str, str], ...]:
    files, found, seen = all_files(packages), list[tuple[str, str, str]](), set[str]()
    own = {name for package in packages for name in inventory().owners(package)}
    queue = [*entered, *packages]
    while queue:
        module = queue.pop(0)
        if module in seen or not _travels(module, packages):
            continue
        seen.add(module)
        queue.append(module.rpartition(".")[0])  # importing a module imports the packages that it is in
        place = next((each for each in _places(module) if each in files), "")
        for imported in imports_in(files[place]) if place else ():
            if imported.at_import and not imported.guarded:
                for full in _full_names(imported, module, place):
                    if _travels(full, packages):
                        queue.append(full)
                        break
                    if _is_of_project(full, own, files.values()):
                        found.append((full, _whole(full), f"{place}:{imported.line}"))
    return tuple(found)


def _travels(module: str, packages: Iterable[str]) -> bool:
    return any(is_below(module, each) for each in packages)


def _places(module: str) -> tuple[str, str]:
    base = module.replace(".", "/")
    return f"{base}/__init__.py", f"{base}.py"


def _full_names(imported: Imported, module: str, place: str) -> Iterator[str]:
    """Yield what an import may name: a module in a package, which need not travel as it is then, and the package."""
    package = module if place.endswith("/__init__.py") else module.rpartition(".")[0]
    try:
        full = importlib.util.resolve_name("." * imported.level + imported.module, package)
    except ImportError:
        return
    if imported.name and imported.name != "*":
        yield f"{full}.{imported.name}"
    yield full


def _is_of_project(full: str, own: Collection[str], files: Collection[Path]) -> bool:
    """Whether a name means a module with a file of the project, which no distribution brings."""
    top, spec = full.partition(".")[0], spec_of(full)
    if spec is None or is_namespace(spec) or is_standard(top) or top in PYTESTS_AND_OURS:
        return False
    owner, place = inventory().owner(full), place_of(full)
    if place is None or (owner is not None and owner not in own):
        return False
    # One that is found in the package by other means, which may add to the search path, travels.
    return Path(place) not in files and (owner is not None or not is_installed(Path(os.path.realpath(place))))


def _whole(module: str) -> str:
    """Return the package that a module is in, below the namespaces around it."""
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((each for each in names if (spec := spec_of(each)) is None or not is_namespace(spec)), module)
