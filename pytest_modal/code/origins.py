"""Origins of modules whose statements don't travel: installed packages, and compiled modules of the project."""

from __future__ import annotations

import functools
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from pytest_modal.code.inventory import inventory
from pytest_modal.code.local_code import LocalCode
from pytest_modal.code.places import is_local
from pytest_modal.code.refusals import UnshippableError
from pytest_modal.wording import shown_path


def is_packaged(full: str, dotted: str, local: LocalCode) -> bool:
    """Whether a module that an import names is of a distribution that is installed here, or travels as it is."""
    if local.travels_elsewhere(full):
        return True
    return inventory().owner(dotted) is not None and file_without_source(full, local) is None


def file_without_source(full: str, local: LocalCode) -> Path | None:
    """Return the file of a module that is the project's own and not Python source; None for any other module."""
    if full.partition(".")[0] in sys.stdlib_module_names or local.travels_elsewhere(full):
        return None
    file = getattr(sys.modules[full], "__file__", None) if full in sys.modules else _found(full, tuple(sys.path))
    if not isinstance(file, str) or file.endswith(".py") or not is_local(file, local.rootdir):
        return None
    return Path(file)


@functools.lru_cache(maxsize=4096)
def _found(full: str, entries: tuple[str, ...]) -> str | None:
    """Return the file of a module that is not imported yet; the packages around it are not imported either."""
    places, spec = list(entries), None
    for length in range(1, full.count(".") + 2):
        spec = _spec(".".join(full.split(".")[:length]), places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return spec.origin if spec is not None and spec.has_location else None


def _spec(name: str, places: list[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, places)
    except (ImportError, ValueError):
        return None


def check_source(full: str, place: tuple[str, int], local: LocalCode) -> None:
    """Refuse a compiled module of the project, which has no statements that could travel, unless an image may have it.

    Parameters
    ----------
    place : tuple
        The file that imports it, relative to the rootdir, and the line; an empty one for the function itself.
    """
    file = None if local.own_image else file_without_source(full, local)
    if file is not None:
        shown = shown_path(file, local.rootdir)
        what = f"uses the local module {full!r}, but {shown} is not Python source, so it can't travel (PM105)"
        where = f"{place[0]}:{place[1]}" if place[0] else ""
        raise UnshippableError(what, where, f'ship it as it is: local_packages=["{full.partition(".")[0]}"]')
