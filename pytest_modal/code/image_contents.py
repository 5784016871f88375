"""Contents of images, as far as this machine knows them: distributions with what they bring, and what they lack."""

from __future__ import annotations

import functools
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from pytest_modal.batch.calls import Batch, Node
from pytest_modal.batch.environment import Environment
from pytest_modal.code.distributions import BRINGS, IMPORTED_AS, brought_by, distribution_of, is_standard
from pytest_modal.code.inventory import editable_directories, inventory
from pytest_modal.code.local_code import LocalCode
from pytest_modal.code.metadata import CONTAINER
from pytest_modal.code.origins import file_without_source
from pytest_modal.code.requirements import derive, nodes_of, requirements_of
from pytest_modal.remote.installed import canonical

# What every container has: the worker brings cloudpickle, Modal its client, Python's images their installers.
_ALWAYS = ["modal", "cloudpickle", "pip", "wheel", "uv", *(["setuptools"] if sys.version_info < (3, 12) else [])]
_OURS = {"pytest_modal", "cloudpickle"}


def contents_of(batch: Batch, environment: Environment) -> set[str] | None:
    """Return the normal names of the distributions that the image of an environment would have; None if unknown.

    Mocks run on this machine only, so what they import is there, whatever the image has.
    """
    if environment.image is not None:
        return None
    requirements = requirements_of(batch, environment).packages
    names = [distribution_of(each) for each in requirements]
    if None in names or (environment.packages is not None and not all(_is_known(str(name)) for name in names)):
        return None
    mocked = [call for call in batch.calls if call.mocked and call.environment.key == environment.key]
    nodes: list[Node] = [*mocked, *(batch.containers[key] for call in mocked for key in call.containers)]
    imports = {name for node in nodes for name in node.imports}
    words = {word for node in nodes for word in node.words}
    needed = [*_ALWAYS, *requirements, *derive(imports, environment.local_packages, words).packages]
    owners = [owner for name in imports if (owner := inventory().owner(name))]
    shipped = [owner for package in environment.local_packages for owner in inventory().owners(package)]
    return with_dependencies([*needed, *owners]) | {*map(canonical, shipped)}


def packages_of_project(batch: Batch, environment: Environment, rootdir: Path) -> list[str]:
    """Return the packages of the project that functions use, and that an image of the project's own may have whole.

    That in which a function itself stands is none of them: its statements travel.
    """
    local = LocalCode(rootdir)
    found: dict[str, None] = {}
    for node in nodes_of(batch, environment):
        own = _package_around(local.path(node.function.location.rpartition(":")[0]))
        parts = {part.path for part in node.function.travels if part.path}
        around = {_package_around(local.path(path)) for path in parts} - {own}
        without_source = {name.partition(".")[0] for name in node.imports if file_without_source(name, local)}
        found |= dict.fromkeys(sorted({*around, *without_source} - {"", own}))
    return list(found)


def _package_around(file: Path) -> str:
    """Return the name of the outermost package in which a file is; empty for a module that stands alone."""
    name = ""
    for directory in file.parents:
        if not (directory / "__init__.py").is_file():
            break
        name = directory.name
    return name


def with_dependencies(requirements: Iterable[str]) -> set[str]:
    """Return the normal names of distributions and of all that they require, by the metadata of this machine."""
    found: dict[str, set[str]] = {}  # and the extras of each
    waiting = [(name, _extras(each)) for each in requirements if (name := distribution_of(each))]
    while waiting:
        name, extras = waiting.pop()
        if name in found and found[name].issuperset(extras):
            continue
        found.setdefault(name, set()).update(extras)
        requires = inventory().requires(name)
        if requires is None:
            waiting += [(each, set()) for each in _instead_of(name)]
        for text in requires or ():
            requirement = _parsed(text) if found[name] or not _is_of_an_extra(text) else None
            if requirement is not None and _applies(requirement, found[name]):
                waiting.append((canonical(requirement.name), requirement.extras))
    return set(found)


def modules_outside(contents: Collection[str], local_packages: tuple[str, ...]) -> list[str]:
    """Return the dotted names of the modules that only other distributions have, each without what is below it.

    Of a namespace that distributions share, such as ``google``, these are the parts that only others have.
    """
    spared = {*_OURS, *(package.partition(".")[0] for package in local_packages)}
    found = []
    for top, owners in inventory().tops.items():
        others = [name for name in owners if canonical(name) not in contents]
        if not others or top in spared or is_standard(top):
            continue
        if len(others) == len(owners):
            found.append(top)
            continue
        inside = {module for name in owners if name not in others for module in _with_parents(name)}
        mine = {module for name in others for module in inventory().all_modules(name) if module.startswith(f"{top}.")}
        found += sorted({_first_outside(module, inside) for module in mine} - {""})
    return found


def directories_outside(contents: Collection[str]) -> list[str]:
    """Return the directories of editable installs that an image would not have."""
    return [path for path, name in editable_directories().items() if canonical(name) not in contents]


def _is_known(name: str) -> bool:
    """Whether it is known what comes with a distribution."""
    return inventory().version(name) is not None or name in BRINGS or any(_instead_of(name))


def _instead_of(name: str) -> Iterator[str]:
    """Yield what stands for a distribution that is not installed here: what comes with it, and variants of it."""
    if name in BRINGS:
        yield from brought_by({name}) - {name}
    for variants in IMPORTED_AS.values():
        if name in variants:
            yield from (each for each in variants if each != name and inventory().version(each) is not None)


def _with_parents(name: str) -> Iterator[str]:
    for module in inventory().all_modules(name):
        parts = module.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _first_outside(module: str, inside: Collection[str]) -> str:
    """Return the shortest part of a dotted name that is not among others; empty if all are."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return next((name for name in names if name not in inside), "")


@functools.cache
def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _extras(text: str) -> set[str]:
    requirement = _parsed(text)
    return requirement.extras if requirement is not None else set()


def _is_of_an_extra(text: str) -> bool:
    """Whether a requirement holds for an extra only; most of those of large packages do, and parsing takes long."""
    marker = text.partition(";")[2]
    return "extra ==" in marker and " or " not in marker


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement holds, here or in a container."""
    marker = requirement.marker
    if marker is None:
        return True
    wanted = [{"extra": extra} for extra in ("", *extras)]
    try:
        return any(marker.evaluate(each) or marker.evaluate({**CONTAINER, **each}) for each in wanted)
    except ValueError:  # it compares what can't be compared
        return True
