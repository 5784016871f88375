"""Inventory of this machine: which distribution has a module, its version, and where it was installed from."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_modal.code.distributions import providers
from pytest_modal.code.search import is_in_namespace, is_namespace, places_of_parts, spec_of
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
        if (developed := self._by_directory(module)) is not None:
            return developed
        for name in dict.fromkeys([*named, canonical(top), *providers(top)]):
            if self.version(name) is not None and (self._files(name) is None or "dir_info" in self.origin(name)):
                return name
        return None

    def owners(self, module: str) -> list[str]:
        """Return all distributions that have a module or parts of it: a namespace may be of several."""
        spec = spec_of(module)
        if spec is None or not (is_namespace(spec) and is_in_namespace(module)):
            owner = self.owner(module)
            return [owner] if owner is not None else []
        path, named = f"{module.replace('.', '/')}/", self._owners.get(module.partition(".")[0], [])
        found = [name for name in named if any(each.startswith(path) for each in self._files(name) or ())]
        found += [name for place in places_of_parts(spec) if (name := self._developed_at(Path(place), module))]
        return list(dict.fromkeys(found))

    def modules(self, name: str) -> list[str]:
        """Return the top-level modules of a distribution that people import."""
        normal = canonical(name)
        tops = [top for top, names in self._owners.items() if normal in map(canonical, names)]
        if self.version(name) is not None:
            tops += [path.name.partition(".")[0] for each in self._on_path(name) for path in _packages_in(each)]
        return sorted({top for top in tops if not top.startswith("_")})

    @property
    def tops(self) -> dict[str, list[str]]:
        """The top-level modules of all distributions, and which distributions have each."""
        return self._owners

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

    def all_modules(self, name: str) -> set[str]:
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

    def _by_directory(self, module: str) -> str | None:
        """Return the distribution that is developed where a module is: its list of files does not have the module."""
        place = place_of(module)
        if place is not None:
            return self._developed_at(Path(place), module)
        # What is imported from a module may be a name in it.
        return self._by_directory(module.rpartition(".")[0]) if "." in module else None

    def _developed_at(self, place: Path, module: str) -> str | None:
        real = Path(os.path.realpath(place))
        if is_installed(real):
            return None
        own = real.parent if real.name.partition(".")[0] == "__init__" else real
        top, depth = module.partition(".")[0], module.count(".")
        on_path = str(own.parents[depth]) if depth < len(own.parents) else ""
        # In a repository of several projects the nearest one has it.
        for root in sorted(editable_directories(), key=len, reverse=True):
            name = editable_directories()[root]
            if real.is_relative_to(root) and self._says_it_has(name, top, on_path):
                return name
        return None

    def _says_it_has(self, name: str, top: str, on_path: str) -> bool:
        """Whether a distribution has a module that is in its directory, where tests and scripts are too."""
        listed = importlib.metadata.distribution(name).read_text("top_level.txt")
        if listed is not None and top not in listed.split():
            return False
        directories = self._on_path(name)
        return not directories or on_path in directories

    def _on_path(self, name: str) -> list[str]:
        """Return the directories that an editable distribution puts on the search path."""
        found = []
        for file in importlib.metadata.files(name) or ():
            if file.suffix == ".pth":
                place = Path(str(file.locate()))
                # Its list of files may be older than the files.
                with contextlib.suppress(OSError, ValueError):
                    lines = [line.strip() for line in place.read_text().splitlines()]
                    lines = [line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
                    found += [os.path.realpath(place.parent / line) for line in lines]
        return found


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
    return module is not None and getattr(module, "__file__", None) is None and spec_of(top) is None


def place_of(module: str) -> str | None:
    """Return the file or directory of a module; None if it can't be imported, or has none."""
    spec = spec_of(module)
    if spec is None:
        return getattr(sys.modules.get(module), "__file__", None)
    if spec.has_location:
        return spec.origin
    return next(iter(places_of_parts(spec)), None)


def is_importable(top: str) -> bool:
    """Whether a module can be imported on this machine, from wherever."""
    return top in sys.modules or spec_of(top) is not None


def _packages_in(directory: str) -> list[Path]:
    """Return what can be imported from a directory."""
    try:
        entries = sorted(Path(directory).iterdir())
    except OSError:
        return []
    modules = [each for each in entries if each.suffix in _MODULES and each.name.partition(".")[0] != "setup"]
    return [*(each for each in entries if (each / "__init__.py").is_file()), *modules]


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
