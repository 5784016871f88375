"""Metadata of the distributions whose packages travel as they are: what they say of themselves, and require."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.inventory import editable_directories, inventory
from pytest_modal.code.search import is_in_namespace
from pytest_modal.remote.installed import canonical

# A container's: a laptop has another system, and what it needs for that is not needed there.
CONTAINER = {
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}
# Brought by the worker or by Modal's own runtime; what a container does not have; and what only editable installs need.
_NOT_REQUIRED = {"cloudpickle", "modal", "pytest", "pytest-modal", "editables"}
_MADE_FROM_COMMITS = re.compile(r"(?:\.?dev\d*)?(?:\+.*)?$", re.IGNORECASE)


class Dependency(NamedTuple):
    """What a distribution requires.

    Attributes
    ----------
    name : str
        In its normal form.
    extras : tuple of str
        What is asked of it besides.
    versions : str
        Which versions will do: ``>=2.1``; empty for any.
    by : str
        The distribution that requires it.
    """

    name: str
    extras: tuple[str, ...]
    versions: str
    by: str


def owners_of(packages: Sequence[str]) -> list[str]:
    """Return the distributions of packages; none for a project that is not installed."""
    return sorted({name for each in packages for name in inventory().owners(each)})


def metadata_of(packages: Sequence[str], files: Mapping[str, Path]) -> dict[str, str]:
    """Return the files that say which distributions packages are of, by where they are below the search path.

    They are those that ``importlib.metadata`` reads: name, version, requirements; entry points; what travels. Not the
    description, which nobody asks for, nor where this machine has the project.

    Parameters
    ----------
    files : mapping
        The files of the packages.
    """
    owners, found = owners_of(packages), dict[str, str]()
    for name in owners:
        distribution = importlib.metadata.distribution(name)
        version, text = inventory().version(name), distribution.read_text("METADATA")
        text = text or distribution.read_text("PKG-INFO")
        if not text or version is None:
            continue
        info = f"{canonical(name).replace('-', '_')}-{version}.dist-info"
        own = {f"{info}/METADATA": text.replace("\r\n", "\n").partition("\n\n")[0].rstrip() + "\n"}
        for other in ("entry_points.txt", "top_level.txt"):
            if content := distribution.read_text(other):
                own[f"{info}/{other}"] = content
        places = [place for place in files if len(owners) == 1 or _has(name, place, files[place])]
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(
            [place, "", ""] for place in [*places, *own, f"{info}/RECORD"]
        )
        found |= {**own, f"{info}/RECORD": record.getvalue()}
    return found


def _has(name: str, place: str, path: Path) -> bool:
    """Whether a file is of one of several distributions."""
    if place in {file.as_posix() for file in importlib.metadata.files(name) or ()}:
        return True
    roots = [root for root, of in editable_directories().items() if of == name]
    return any(Path(os.path.realpath(path)).is_relative_to(root) for root in roots)


def parts_of_metadata(packages: Sequence[str]) -> dict[str, str]:
    """Return the digests of what metadata can change in a result: version and entry points.

    Of the version it is the release: what a build tool makes from commits and dates differs from one to the next.
    """
    parts = {}
    for name in owners_of(packages):
        version = _MADE_FROM_COMMITS.sub("", inventory().version(name) or "")
        points = importlib.metadata.distribution(name).entry_points
        named = sorted(f"{each.group}: {each.name} = {each.value}" for each in points)
        parts[f"version and entry points of {canonical(name)}"] = digest_of(version, *named)
    return parts


def dependencies_of(packages: Sequence[str]) -> dict[str, Dependency]:
    """Return what the distributions of packages require, by normal name; what travels itself is not among it.

    A part of a package may not need what the whole does: only what its files import is required then.
    """
    return _dependencies_of(tuple(packages), tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _dependencies_of(packages: tuple[str, ...], entries: tuple[str, ...]) -> dict[str, Dependency]:
    whole = owners_of([each for each in packages if is_in_namespace(each)])
    own, found = set(map(canonical, whole)), dict[str, Dependency]()
    queue, seen = [(name, "") for name in whole], set[tuple[str, str]]()
    while queue:
        by, extra = queue.pop()
        if (canonical(by), extra) in seen:
            continue
        seen.add((canonical(by), extra))
        for each in _requirements(by, extra):
            name = canonical(each.name)
            if name in own:
                queue += [(each.name, more) for more in (each.extras or {""})]
            elif name not in _NOT_REQUIRED:
                known = found.get(name, Dependency(name, (), "", by))
                extras = tuple(sorted({*known.extras, *each.extras}))
                versions = ",".join(sorted({*filter(None, known.versions.split(",")), *map(str, each.specifier)}))
                found[name] = Dependency(name, extras, versions, known.by)
    return dict(sorted(found.items()))


def _requirements(name: str, extra: str) -> list[Requirement]:
    found = []
    for text in importlib.metadata.requires(name) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # of an old tool; nobody else can read it either
            continue
        if _applies(requirement.marker, extra):
            found.append(requirement)
    return found


def _applies(marker: Marker | None, extra: str) -> bool:
    return marker is None or marker.evaluate({**CONTAINER, "extra": extra})
