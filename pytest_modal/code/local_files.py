"""Files of this machine that the code of functions and classes reads: a container does not have them."""

from __future__ import annotations

from pathlib import Path

from pytest_modal.code.bindings import Modules
from pytest_modal.code.constants import reads_when_defined, says_files
from pytest_modal.code.refusals import UnshippableError
from pytest_modal.code.units import Unit


def path_read(modules: Modules, key: str, unit: Unit) -> tuple[str, str] | None:
    """Return the name and the path by which the code of a definition finds files of this machine, if it reads any."""
    if not unit.is_definition or not says_files(unit):
        return None
    for name in sorted(unit.uses):
        if name == "__file__":
            return name, str(modules.local.path(key))
        found = modules.resolve(key, [name])
        if found is not None and found.kind == "name":
            value = modules.scope(found.where).get(found.name)
            if isinstance(value, str | Path) and Path(value).is_absolute():
                return name, str(value)
    return None


def refuse_reading(modules: Modules, key: str, unit: Unit) -> None:
    """Refuse a definition that reads a file of this machine when it runs: in a default, in the body of a class."""
    if not unit.is_definition or not says_files(unit) or not reads_when_defined(unit):
        return
    if path_read(modules, key, unit) is None:
        return
    what = f"uses {', '.join(unit.binds)}, whose definition reads a file of this machine"
    remedy = "read the file in a statement of its own, NAME = ..., and use that name: its value travels"
    raise UnshippableError(what, f"{key}:{unit.line}", remedy)
