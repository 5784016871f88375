"""Local packages that travel as they are: their files, compiled modules and data included.

A dotted name is that module and what is below it. Of the packages above it nothing travels as it is: what functions
use of them travels as source, as of any module of the project.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_modal.code import units
from pytest_modal.code.distributions import is_standard, providers
from pytest_modal.code.inventory import inventory, is_importable
from pytest_modal.code.local_code import PYTESTS_AND_OURS, CodeKeyError, is_below, read
from pytest_modal.code.search import places_of_parts, spec_of
from pytest_modal.code.units import Imported
from pytest_modal.wording import three_parts


def files_of(package: str) -> dict[str, Path]:
    """Return the files that travel, by where they are below the search path; nothing without such a package.

    Caches and hidden files stay here. Of a namespace that has several directories the first one with a file has it, as
    where it is imported.

    Raises
    ------
    CodeKeyError
        A directory can't be read.
    """
    spec, name = spec_of(package), package.replace(".", "/")
    if spec is None:
        return {}
    found: dict[str, Path] = {}
    if spec.submodule_search_locations is None:
        path = Path(str(spec.origin))
        if path.is_file():
            found[(Path(name).parent / path.name).as_posix()] = path
    for root in places_of_parts(spec):
        try:
            for relative, path in _walk(root):
                found.setdefault(f"{name}/{relative}", path)
        except OSError as error:
            what = f"the local package {package!r} can't be read: {type(error).__name__}: {error.strerror}"
            remedy = "make it readable, or move it out of the package"
            raise CodeKeyError(three_parts(what, error.filename or root, remedy)) from None
    return dict(sorted(found.items()))


def all_files(packages: Sequence[str]) -> dict[str, Path]:
    """Return the files of several packages, whatever their order is."""
    return dict(sorted({place: path for each in packages for place, path in files_of(each).items()}.items()))


def _walk(directory: str, before: str = "", around: tuple[str, ...] = ()) -> Iterator[tuple[str, Path]]:
    real = os.path.realpath(directory)
    if real in around:  # a link to a directory that it is in
        return
    for entry in os.scandir(directory):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _walk(entry.path, f"{before}{entry.name}/", (*around, real))
        elif entry.is_file():
            yield before + entry.name, Path(entry.path)


def imports_of(packages: Sequence[str]) -> dict[str, str]:
    """Return what packages that travel as they are import of others: dotted names, and where each is imported first.

    What of it the program needs is not known. So it is what is installed here, where the program runs too; and what is
    well known and imported without a guard, for a machine where it is not.
    """
    own = {name for package in packages for name in inventory().owners(package)}
    found: dict[str, str] = {}
    for place, path in all_files(packages).items():
        if place.endswith(".py"):
            for each in imports_in(path):
                if each.level:
                    continue
                dotted = f"{each.module}.{each.name}" if each.name and each.name != "*" else each.module
                if _is_needed(each, dotted, packages, own):
                    found.setdefault(dotted, f"{place}:{each.line}")
    return found


def imports_in(path: Path) -> Iterator[Imported]:
    """Yield what a file imports; nothing where it is not Python, such as a template, which nobody imports."""
    with contextlib.suppress(CodeKeyError):
        for node in read(path).tree.body:
            yield from units.imports_of(node)


def _is_needed(imported: Imported, dotted: str, packages: Sequence[str], own: set[str]) -> bool:
    top = dotted.partition(".")[0]
    if any(is_below(dotted, each) for each in (*packages, *PYTESTS_AND_OURS)) or is_standard(top):
        return False
    owner = inventory().owner(dotted)
    if owner is not None:
        return owner not in own
    return bool(providers(top)) and imported.at_import and not imported.guarded and not is_importable(top)


def sizes_of(packages: Sequence[str]) -> dict[str, int]:
    """Return the bytes of the files of packages, by where they are below the search path."""
    return {place: path.stat().st_size for place, path in all_files(packages).items()}
