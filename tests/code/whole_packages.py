"""Public packages taken as the project's own code: each of their functions and classes is sent alone.

    python tests/code/whole_packages.py [PACKAGE ...]

prints how many of each package arrive, and why others don't. Packages of the standard library are taken under a new
name: other code there needs them whole. What is installed keeps its name, and can't be imported from anywhere else
where the functions arrive.
"""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import pickle
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RENAMED = "project_"  # what the names of copies of standard modules begin with


def tried(packages: Sequence[str], scratch: Path) -> dict[str, dict[str, str]]:
    """Return for each package, and each name in it, why it did not arrive; empty for a name that did."""
    from pytest_modal.run.bundle import unpack

    project = scratch / "project"
    project.mkdir()
    local = [_copied(package, project) for package in packages]
    _run("-P", "plan", str(project), str(scratch / "planned"), *local)
    unpack(scratch / "worker")
    shutil.rmtree(project)
    _run("-I", "load", str(scratch / "worker"), str(scratch / "planned"), str(scratch / "loaded.json"))
    found: dict[str, dict[str, str]] = {package: {} for package in packages}
    for name, why in json.loads((scratch / "loaded.json").read_text()).items():
        found[name.partition(":")[0].partition(".")[0].removeprefix(RENAMED)][name] = why
    return found


def table(found: dict[str, dict[str, str]]) -> str:
    """Return how many names of each package arrived, and the others with their reasons."""
    arrived = {package: sum(not why for why in names.values()) for package, names in found.items()}
    lines = [f"{package:<20}{arrived[package]:>5} of {len(found[package])}" for package in found]
    lines += [f"{name}: {why}" for names in found.values() for name, why in names.items() if why]
    return "\n".join(lines)


def _run(isolation: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-B", isolation, __file__, *arguments], check=True, timeout=600)


def _copied(package: str, project: Path) -> str:
    """Copy a package to a project; return the name that it has there."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {package!r} is here", name=package)
    name = RENAMED + package if package in sys.stdlib_module_names else package
    if spec.submodule_search_locations is None:
        shutil.copy(spec.origin, project / f"{name}.py")
        files = [project / f"{name}.py"]
    else:
        shutil.copytree(Path(spec.origin).parent, project / name, ignore=shutil.ignore_patterns("*.pyc", "*.so"))
        files = list((project / name).rglob("*.py"))
    if name != package:
        own = re.compile(rf"(?<=from ){package}(?=[. ])|(?<=import ){package}\b|(?<![\w.'\"]){package}(?=\.[a-z])")
        for file in files:
            file.write_text(own.sub(name, file.read_text()))
    return name


# In the process that has the project.


def plan(project: str, box: str, *packages: str) -> None:
    """Ship each function and class of the packages alone."""
    from pytest_modal.code.shipping import Shipper, ShippingError

    for name in [each for each in sys.modules if each.partition(".")[0] in packages]:
        del sys.modules[name]
    # What a variable adds to the path would be the project's own too.
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [project, *(each for each in sys.path if each not in added)]
    modules = [module for package in packages for module in _modules_of(package)]
    standard = [name for name in sys.modules if name.partition(".")[0] in sys.stdlib_module_names - {"__main__"}]
    shipper = Shipper(Path(project))
    planned: list[dict[str, Any]] = []
    shipped = []
    for module in modules:
        for name, value in _defined_in(module):
            label = f"{module.__name__}:{name}"
            try:
                each = shipper.ship(value, name, ())
            except ShippingError as error:
                planned.append({"label": label, "why": f"refused: {error}"})
            else:
                shipped.append(each)
                planned.append({"label": label, "payload": each.payload, "about": _about(value)})
    # Which lines of a module travel is known when all are planned.
    texts = {text: text.payload for each in shipped for text in each.modules}
    number = {text: count for count, text in enumerate(texts)}
    for entry, each in zip((each for each in planned if "payload" in each), shipped, strict=True):
        entry["modules"] = [number[text] for text in each.modules]
    Path(box).write_bytes(pickle.dumps((packages, standard, planned, list(texts.values()))))


def _modules_of(package: str) -> Iterator[types.ModuleType]:
    whole = importlib.import_module(package)
    yield whole
    for info in pkgutil.walk_packages(getattr(whole, "__path__", ()), f"{package}.", onerror=lambda name: None):
        if not info.name.endswith("__main__") and "test" not in info.name:
            try:
                yield importlib.import_module(info.name)
            except Exception:  # it needs another system, or a package that is not installed
                continue


def _defined_in(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(vars(module).items()):
        kind = isinstance(value, types.FunctionType | type | functools._lru_cache_wrapper)
        if kind and value.__module__ == module.__name__ and value.__qualname__ == name:
            yield name, value


def _about(value: Any) -> tuple[str, str, str]:
    return type(value).__name__, value.__module__, value.__qualname__


# In the process that has nothing of it.


class _Hidden(importlib.abc.MetaPathFinder):
    """Finds nothing where the packages are installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = set(packages)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def load(worker: str, box: str, report: str) -> None:
    """Load each function alone, in a process of its own."""
    sys.path.insert(0, worker)
    packages, standard, planned, texts = pickle.loads(Path(box).read_bytes())
    sys.meta_path.insert(0, _Hidden(packages))
    for name in ("pytest_modal.remote.slices", *standard):  # once, and not in each child
        importlib.import_module(name)
    gc.freeze()
    why = {each["label"]: each.get("why") or _why_not(each, texts) for each in planned}
    Path(report).write_text(json.dumps(why))


def _why_not(planned: dict[str, Any], texts: list[bytes]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, _loaded(planned, texts).encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        why = stream.read().decode()
    _, status = os.waitpid(child, 0)
    return why or ("" if not status else f"ended with {status}")


def _loaded(planned: dict[str, Any], texts: list[bytes]) -> str:
    from pytest_modal.remote.slices import Slices

    try:
        value = Slices().function(planned["payload"], {str(each): texts[each] for each in planned["modules"]})
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
    found = _about(value)
    return "" if found == tuple(planned["about"]) else f"{found}, and was {planned['about']}"


def main(packages: list[str]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        print(table(tried(packages, Path(scratch))))


if __name__ == "__main__":
    {"plan": plan, "load": load}.get(sys.argv[1], lambda *_: main(sys.argv[1:]))(*sys.argv[2:])
