"""Requirements of images: the distributions of what is sent, pinned to the versions installed on this machine."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_modal.batch.calls import Batch, Data, FromCall, Node
from pytest_modal.batch.environment import Environment
from pytest_modal.code.distributions import canonical, distribution_of, providers

# Of several distributions of a module that isn't installed here, the one that works without a screen.
_PREFERRED = {"cv2": "opencv-python-headless"}
# What a distribution can't work without on a GPU, though it does not require it.
_COMPANIONS = {"transformers": ("torch",), "diffusers": ("torch", "transformers")}
# Tags of an encoding (see `pytest_modal.remote.data`) that numpy has to read.
_NEEDS_NUMPY = re.compile(rb'"\$(?:array|scalars?|str_|bytes_)":')
# Brought by the worker, or by Modal's own runtime.
_THERE = {"cloudpickle", "modal", "pytest_modal"}


@dataclass(frozen=True)
class Requirements:
    """What an image installs.

    Attributes
    ----------
    packages : tuple of str
        Requirements, sorted; ``name==version`` where the version is known.
    notes : tuple of str
        What could not be pinned, and why.
    """

    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def requirements_of(batch: Batch, environment: Environment) -> Requirements:
    """Return what the image of an environment installs for the calls of a batch.

    Packages that were declared are taken as they are, and an image that was declared is left as it is: only
    numpy is added to them, without a version, where the data boundary needs it.
    """
    calls = [call for call in batch.calls if call.environment.key == environment.key]
    nodes: list[Node] = [*calls, *(batch.containers[key] for call in calls for key in call.containers)]
    imports = {name for node in nodes for name in node.imports}
    declared = environment.packages
    if declared is None and environment.image is None:
        return derive(imports | ({"numpy"} if _needs_numpy(nodes, imports) else set()))
    declared = declared or ()
    if _needs_numpy(nodes, imports) and not any(distribution_of(name) == "numpy" for name in declared):
        return Requirements((*declared, "numpy"))
    return Requirements(declared)


def _needs_numpy(nodes: Iterable[Node], imports: set[str]) -> bool:
    # Tensors leave as arrays, and what another call returned may hold some.
    if any(name.partition(".")[0] in ("torch", "numpy") for name in imports):
        return True
    arguments = [each for node in nodes for each in (*node.arguments.values(), node.param)]
    if any(isinstance(each, FromCall) for each in arguments):
        return True
    sent = {each.digest: each for each in arguments if isinstance(each, Data)}
    return any(_NEEDS_NUMPY.search(each.buffers[0]) for each in sent.values())


def derive(imports: Iterable[str]) -> Requirements:
    """Return the requirements of modules.

    Parameters
    ----------
    imports : iterable of str
        Dotted names as imported; the standard library and local modules may be among them.
    """
    names: dict[str, str] = {}
    for module in imports:
        top = module.partition(".")[0]
        if top and top not in sys.stdlib_module_names and top not in _THERE:
            for name in _distributions_of(module):
                names[canonical(name)] = name
    for name in list(names):
        # Where it isn't installed here either, the local run does without it.
        names |= {each: each for each in _COMPANIONS.get(name, ()) if _version(each) is not None}
    packages, notes = set(), set()
    for normal, name in names.items():
        requirement, note = _pin(normal, name)
        packages |= {requirement} if requirement else set()
        notes |= {note} if note else set()
    return Requirements(tuple(sorted(packages)), tuple(sorted(notes)))


def _pin(normal: str, name: str) -> tuple[str | None, str | None]:
    version = _version(name)
    if version is None:
        return name, f"{name} is not installed on this machine, so its version is not pinned"
    origin = _direct_url(name)
    if "dir_info" in origin:
        return None, (
            f"{name} is installed from a local directory, which an image can't install: ship it with local_packages="
        )
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"{name} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}", None
    return f"{normal}=={version}", None


def _distributions_of(module: str) -> list[str]:
    top = module.partition(".")[0]
    owners = list(dict.fromkeys(_owners().get(top, ())))
    if len(owners) > 1:
        # A namespace that several share, such as google: those that have the module itself.
        return [owner for owner in owners if _holds(owner, module)] or owners[:1]
    if not owners:
        return [] if _is_importable(top) else [_PREFERRED.get(top) or (*providers(top), top)[0]]
    return owners


def _is_importable(top: str) -> bool:
    # Importable and of no distribution: local code, which the image can't install.
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return top in sys.modules


@functools.cache
def _owners() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@functools.cache
def _holds(distribution: str, module: str) -> bool:
    parts = module.split(".")
    files = {str(file) for file in importlib.metadata.files(distribution) or ()}
    prefixes = ["/".join(parts[:length]) for length in range(len(parts), 1, -1)]
    return any(f"{prefix}.py" in files or f"{prefix}/__init__.py" in files for prefix in prefixes)


@functools.cache
def _version(name: str) -> str | None:
    try:
        # A local label such as +cpu is of this machine's build; no index has it.
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def _direct_url(name: str) -> dict[str, Any]:
    text = importlib.metadata.distribution(name).read_text("direct_url.json")
    return dict(json.loads(text)) if text else {}
