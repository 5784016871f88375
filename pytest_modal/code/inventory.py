"""Inventory of this machine: which distribution has a module, its version, and where it was installed from."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_modal.code.distributions import providers
from pytest_modal.remote.installed import canonical, is_installed

_MODULES = (".py", ".so", ".pyd")


class Inventory:
    """The distributions that are installed, as they are found now."""

    def __init__(self) -> None:
        found = importlib.metadata.packages_distributions()
        self._owners = {top: sorted({name for name in names if name}) for top, names in found.items()}
        self._modules: dict[str, set[str] | None] = {}
        self._origins: dict[str, dict[str, Any]] = {}
        self._known: dict[str, str | None] = {}
        self._requires: dict[str, list[str] | None] = {}

    @property
    def owners(self) -> dict[str, list[str]]:
        """The top-level modules, and the distributions that have each."""
        return self._owners

    def owner(self, module: str) -> str | None:
        """Return the distribution that has a module, by its dotted name; the first of several that have the same one.

        Of a namespace that distributions share, such as ``google``, it is the one with the module itself.
        """
        parts = module.split(".")
        top, paths = parts[0], ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        named = self._owners.get(top, [])
        for path in paths:
            holders = [name for name in named if self._has(name, path)]
            if holders:
                return holders[0]
        if named and len(parts) == 1:
            return named[0]
        for name in dict.fromkeys([*named, canonical(top), *providers(top)]):
            if self.version(name) is not None and (self._files(name) is None or "dir_info" in self.origin(name)):
                return name
        return self._by_directory(top)

    def version(self, name: str) -> str | None:
        """Return the version of a distribution; None if it is not installed."""
        if name not in self._known:
            try:
                self._known[name] = importlib.metadata.version(name)
            except (importlib.metadata.PackageNotFoundError, KeyError):
                self._known[name] = None
        return self._known[name]

    def requires(self, name: str) -> list[str] | None:
        """Return what a distribution requires, as its metadata says it; None if it is not installed."""
        if name not in self._requires:
            self._requires[name] = _requires(name)
        return self._requires[name]

    def modules(self, name: str) -> set[str]:
        """Return the modules of a distribution, by dotted name; none where it has no list of its files."""
        return {path.replace("/", ".") for path in self._files(name) or ()}

    def origin(self, name: str) -> dict[str, Any]:
        """Return where a distribution was installed from, as PEP 610 has it; empty if it was a package index."""
        if name not in self._origins:
            text = importlib.metadata.distribution(name).read_text("direct_url.json")
            self._origins[name] = _origin(text)
        return self._origins[name]

    def _has(self, name: str, path: str) -> bool:
        return path in (self._files(name) or ())

    def _files(self, name: str) -> set[str] | None:
        """Return the modules of a distribution, as paths; None where it has no list of its files."""
        if name not in self._modules:
            files = importlib.metadata.files(name)
            modules = {_module(Path(file)) for file in files or () if file.suffix in _MODULES}
            self._modules[name] = modules if files is not None else None
        return self._modules[name]

    def _by_directory(self, top: str) -> str | None:
        """Return the distribution that is developed where a module is: its list of files does not have the module."""
        place = place_of(top)
        if place is None or is_installed(Path(os.path.realpath(place))):
            return None
        real = Path(os.path.realpath(place))
        return next((name for root, name in editable_directories().items() if real.is_relative_to(root)), None)


def inventory() -> Inventory:
    """Return what is installed on the search path as it is now."""
    return _inventory(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _inventory(entries: tuple[str, ...]) -> Inventory:
    return Inventory()


def editable_directories() -> dict[str, str]:
    """Return the directories of distributions that are installed as editable, with the names of these."""
    return _editable_directories(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _editable_directories(entries: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for distribution in importlib.metadata.distributions():
        origin = _origin(distribution.read_text("direct_url.json"))
        if origin.get("dir_info", {}).get("editable"):
            path = os.path.realpath(unquote(urlsplit(origin["url"]).path))
            found[path] = str(distribution.metadata["Name"])
    return found


def is_made_at_run_time(top: str) -> bool:
    """Whether a module is in ``sys.modules`` and nowhere else: no import statement would find it elsewhere."""
    module = sys.modules.get(top)
    return module is not None and getattr(module, "__file__", None) is None and _spec(top) is None


def place_of(top: str) -> str | None:
    """Return the file or directory of a module; None if it can't be imported, or has none."""
    spec = _spec(top)
    if spec is None:
        return getattr(sys.modules.get(top), "__file__", None)
    if spec.has_location:
        return spec.origin
    return next(iter(spec.submodule_search_locations or ()), None)


def is_importable(top: str) -> bool:
    """Whether a module can be imported on this machine, from wherever."""
    return top in sys.modules or _spec(top) is not None


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _module(file: Path) -> str:
    name = file.name.partition(".")[0]
    return (file.parent if name == "__init__" else file.with_name(name)).as_posix()


def _requires(name: str) -> list[str] | None:
    try:
        text = importlib.metadata.distribution(name).read_text("METADATA")
        if text is None:  # of an old format
            return importlib.metadata.requires(name) or []
    except (importlib.metadata.PackageNotFoundError, OSError, KeyError, ValueError):
        return None
    # Parsing all of it, the description included, takes many times as long.
    head = text.partition("\n\n")[0].splitlines()
    return [line.partition(":")[2].strip() for line in head if line.startswith("Requires-Dist:")]


def _origin(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("url"), str):
        return {}
    # Where it is damaged, it is still not an index that the distribution came from.
    kinds = ("dir_info", "vcs_info", "archive_info")
    return {key: value for key, value in found.items() if key not in kinds or isinstance(value, dict)}
