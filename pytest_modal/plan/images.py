"""Images of a run: one for each set of needs, whatever is selected, so that few are built.

Pytest's cache remembers which distributions the image of each group of functions had on Modal. While these cover what
is needed they are taken again, so that ``-k``, ``--lf``, ``--modal-resume`` and one file alone build nothing new. A run
of all tests forgets what nothing needs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from pytest_modal.batch.calls import Batch, Node
from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.environment import Environment
from pytest_modal.code.requirements import can_be_installed, install, layers, needs_of, nodes_of
from pytest_modal.plan.selection import is_everything

MEMORY = "pytest_modal/images"
MAX_GROUPS = 100  # that are remembered: what was declared once is not forgotten by itself


def settle_images(batch: Batch, session: pytest.Session, collected: Callable[[], Iterable[Node]]) -> None:
    """Decide what the images of a batch install.

    Parameters
    ----------
    collected : callable
        Returns the functions of the tests that were collected and not selected. It is called only where what is
        remembered does not cover the needs.
    """
    memory, complete = _memory(session.config), is_everything(session)
    more: list[Node] | None = None
    for group, environment in _groups(batch).items():
        nodes = nodes_of(batch, environment)
        needs = needs_of(nodes, environment)
        names = set(needs.names)
        if environment.image is None and not complete:
            known = {name for name in _names(memory, group) if can_be_installed(name)}
            if not names <= known:
                more = list(collected()) if more is None else more
                others = [node for node in more if node.environment.image_group == group]
                names |= needs_of([*nodes, *others], environment).names
            names |= known
        batch.requirements[group] = install(environment, names, needs.notes)


def new_images(config: pytest.Config, batch: Batch) -> set[str]:
    """Return the groups of functions whose image no run on this machine has used yet."""
    memory = _memory(config)
    images = {group: _image(batch, environment) for group, environment in _groups(batch).items()}
    return {group for group, image in images.items() if image and memory.get(group, {}).get("image") != image}


def remember_images(config: pytest.Config, batch: Batch, used: Collection[str]) -> None:
    """Remember what the images of a batch install.

    Parameters
    ----------
    used : collection of str
        Groups of functions of which some ran on Modal: their images exist.
    """
    cache, memory = getattr(config, "cache", None), _memory(config)
    for group, environment in _groups(batch).items():
        if image := _image(batch, environment):
            before = memory.pop(group, {}).get("image", "")
            names = sorted(batch.requirements[group].names)
            memory[group] = {"names": names, "image": image if group in used else before}
    if cache is not None:
        cache.set(MEMORY, dict([*memory.items()][-MAX_GROUPS:]))


def _groups(batch: Batch) -> dict[str, Environment]:
    return {environment.image_group: environment for environment in batch.environments}


def _image(batch: Batch, environment: Environment) -> str:
    """Return a digest of what defines an image; empty for one that the project defines."""
    if environment.image is not None or environment.image_group not in batch.requirements:
        return ""
    return digest_of(*map(repr, layers(environment, batch.requirements[environment.image_group].packages)))


def _memory(config: pytest.Config) -> dict[str, dict[str, Any]]:
    cache = getattr(config, "cache", None)
    found = cache.get(MEMORY, {}) if cache is not None else {}
    # The file may be another version's, or damaged.
    return {key: each for key, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def _names(memory: dict[str, dict[str, Any]], group: str) -> list[str]:
    names = memory.get(group, {}).get("names")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
