"""Names of local packages, checked: each is the import name of something that has files on this machine."""

from __future__ import annotations

import difflib
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path

from pytest_modal.code.distributions import distribution_of, is_standard
from pytest_modal.code.inventory import inventory, is_made_at_run_time
from pytest_modal.code.local_code import PYTESTS_AND_OURS
from pytest_modal.code.local_packages import files_of
from pytest_modal.code.search import places_of_parts, spec_of

_IMPORT_NAME = "use the import name of a package or module that pytest can import here"


def wrong_package(name: str) -> tuple[str, str] | None:
    """Return what is wrong with a name in ``local_packages=``, and what to do; None where its files can travel.

    A package that is installed may be named too: it then travels as it is here, patches included.
    """
    top, remove = name.partition(".")[0], f"remove {name!r} from local_packages="
    if is_standard(top):
        return f"{name!r} is of Python's standard library, which a container has", remove
    if top in PYTESTS_AND_OURS:
        return f"{name!r} can't be shipped: a container does not have pytest", remove
    if not _is_name(name):
        kind = "a path" if "/" in name or "\\" in name else "the name of a distribution" if _modules(name) else ""
        what = f"{name!r} is {kind}, not an import name" if kind else f"{name!r} is not an import name"
        return what, _did_you_mean(_importable_part(name) or _modules(name)) or _IMPORT_NAME
    if files_of(name):
        return None
    if is_made_at_run_time(top):
        return f"{name!r} was made at run time on this machine: it has no files", remove
    if spec_of(name) is not None:
        return f"{name!r} has no files that could travel", "name a package or module that is a directory or a file"
    remedy = _did_you_mean(_importable_part(name) or _modules(name) or _alike(name))
    install = "install the project (pip install -e .), or set pythonpath in pytest's configuration"
    return f"the local package {name!r} can't be imported on this machine", remedy or f"{_IMPORT_NAME}: {install}"


def _did_you_mean(names: Iterable[str]) -> str:
    found = [*names][:3]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else ""


def _modules(name: str) -> list[str]:
    """Return the modules of the distribution that a name or a requirement names."""
    distribution = distribution_of(name)
    return inventory().modules(distribution) if distribution is not None else []


def _importable_part(path: str) -> list[str]:
    """Return what the end of a path, or a file name, is imported as."""
    parts = path.replace("\\", "/").rstrip("/").removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    tails = (".".join(parts[first:]) for first in reversed(range(len(parts))))
    return next(([tail] for tail in tails if tail != path and _is_name(tail) and files_of(tail)), [])


def _is_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _alike(name: str) -> list[str]:
    """Return the importable name that is most like one that is not."""
    around, _, last = name.rpartition(".")
    spec = spec_of(around) if around else None
    if spec is not None:
        return [f"{around}.{each}" for each in _closest(last, _modules_in(places_of_parts(spec)))]
    if around:
        return [full for each in _alike(around) if files_of(full := f"{each}.{last}")]
    return _closest(name, {*_modules_in(sys.path), *inventory().tops} - {*PYTESTS_AND_OURS})


def _closest(name: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, sorted(known), n=1)


def _modules_in(directories: Iterable[str]) -> set[str]:
    places = [each or "." for each in directories]
    namespaces = {each.name for place in places for each in _directories(Path(place)) if each.name.isidentifier()}
    return {each.name for each in pkgutil.iter_modules(places)} | namespaces


def _directories(place: Path) -> list[Path]:
    """Return the directories that hold a module: namespaces too, which nothing lists."""
    try:
        return [each for each in place.iterdir() if each.is_dir() and any(each.glob("*.py"))]
    except OSError:
        return []
