"""Search for modules as Python does it, without importing them: what is found may be run elsewhere only."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path


def spec_of(module: str) -> ModuleSpec | None:
    """Return how a module is imported on this machine, by its dotted name; None if it can't be."""
    spec: ModuleSpec | None = None
    places: list[str] | None = None
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        full = ".".join(parts[:length])
        if length > 1 and places is None:  # a module that is no package
            return None
        try:
            spec = importlib.util.find_spec(full) if places is None else _below(full, places)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        places = None if spec.submodule_search_locations is None else places_of_parts(spec)
    return spec


def _below(full: str, places: Sequence[str]) -> ModuleSpec | None:
    if full in sys.modules:
        return sys.modules[full].__spec__
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        try:
            found: ModuleSpec | None = find(full, places, None) if find is not None else None
        except KeyError:  # a namespace, which Python looks for in its package: that is not imported
            found = ModuleSpec(full, None, is_package=True)
            directories = [Path(each, full.rpartition(".")[2]) for each in places]
            found.submodule_search_locations = [str(each) for each in directories if each.is_dir()]
        if found is not None:
            return found
    return None


def is_namespace(spec: ModuleSpec) -> bool:
    """Whether a package has no file of its own."""
    return not spec.has_location and spec.submodule_search_locations is not None


def is_in_namespace(module: str) -> bool:
    """Whether no package around a module has a file of its own: then the module stands for itself."""
    around = [module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)]
    return all((spec := spec_of(each)) is not None and is_namespace(spec) for each in around)


def places_of_parts(spec: ModuleSpec) -> list[str]:
    """Return the directories of a package: a namespace may have several, a module has none."""
    return list(spec.submodule_search_locations or ())
