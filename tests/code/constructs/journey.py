"""The two ends of a journey, each a process of its own: planning, with the project; a container, without it.

``journey.py plan PROJECT BOX`` imports the project and leaves in the box what travels, and what the functions give
here; ``journey.py run BOX`` has nothing but the box, and leaves in it what they give there.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modal.remote.slices import Slices

PLAN, THERE = "plan.json", "there.json"


def plan(project: Path, box: Path) -> None:
    """Ship the functions of a project, then call them here."""
    sys.path.insert(0, str(project))
    asked = json.loads((box / "asked.json").read_text())
    # The functions' modules first: what is imported is what planning knows of.
    for module in [*asked["imported_before"], *(name.partition(":")[0] for name in asked["functions"])]:
        importlib.import_module(module)
    functions = dict(_functions(asked["functions"]))
    planned = _shipped(functions, project, tuple(asked["local_packages"]), box)
    for name, function in functions.items():
        planned[name]["here"] = _outcome(function)
    (box / PLAN).write_text(json.dumps(planned))


def _functions(patterns: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    for pattern in patterns:
        module, _, names = pattern.partition(":")
        scope = vars(importlib.import_module(module))
        found = sorted(fnmatch.filter(scope, names))
        assert found, f"{pattern}: no such function"
        for name in found:
            yield f"{module}:{name}", _declared(scope[name])


def _declared(found: Any) -> Callable[[], object]:
    """Return the function of a fixture, as its file has it."""
    from pytest_modal.declare.remote_function import remote_of

    function = found._get_wrapped_function() if hasattr(found, "_get_wrapped_function") else found
    remote = remote_of(function)
    return remote.function if remote else function


def _shipped(
    functions: dict[str, Callable[[], object]], project: Path, local_packages: tuple[str, ...], box: Path
) -> dict[str, dict[str, Any]]:
    from pytest_modal.code.shipping import Shipper, ShippingError

    shipper = Shipper(project)
    shipped = {}
    planned: dict[str, dict[str, Any]] = {}
    for name, function in functions.items():
        planned[name] = {}
        try:
            shipped[name] = shipper.ship(function, name.partition(":")[2], local_packages)
        except ShippingError as error:
            planned[name]["refused"] = str(error)
    # What a module's text is, is known when all of them are planned.
    for number, (name, each) in enumerate(shipped.items()):
        (box / f"{number}.payload").write_bytes(each.payload)
        planned[name].update(
            payload=f"{number}.payload",
            key=each.key,
            imports=each.imports,
            optional=each.optional,
            modules=[module.key for module in each.modules],
            travels=[[part.how, part.name, part.path, part.line] for part in each.travels],
        )
        for module in each.modules:
            (box / f"{module.key}.module").write_bytes(module.payload)
    return planned


def run(box: Path) -> None:
    """Call what travelled."""
    sys.path.insert(0, str(box / "pytest-modal-worker"))
    # A container does not have it.
    sys.modules.update(dict.fromkeys(["pytest", "_pytest"]))  # type: ignore[arg-type]
    from pytest_modal.remote.slices import Slices

    slices = Slices()
    there = {}
    for name, planned in json.loads((box / PLAN).read_text()).items():
        if "payload" in planned:
            payload = (box / planned["payload"]).read_bytes()
            modules = {key: (box / f"{key}.module").read_bytes() for key in planned["modules"]}
            there[name] = _outcome(functools.partial(_call, slices, payload, modules))
    (box / THERE).write_text(json.dumps(there))


def _call(slices: Slices, payload: bytes, modules: dict[str, bytes]) -> object:
    return slices.function(payload, modules)()


def _outcome(function: Callable[[], object]) -> dict[str, str]:
    try:
        return {"returned": re.sub(r"0x[0-9a-f]+", "0x...", repr(_plain(function())))}
    except BaseException as error:
        return {"raised": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}


def _plain(value: Any) -> object:
    """Return tensors and arrays as lists, wherever they are: their `repr` has digits to spare."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if hasattr(value, "detach"):
        value = value.detach()
    return value.tolist() if hasattr(value, "tolist") else value


if __name__ == "__main__":  # processes that functions spawn import this file
    if sys.argv[1] == "plan":
        plan(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        run(Path(sys.argv[2]))
