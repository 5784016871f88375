"""Versions of the packages that a result was made with, which its key leaves out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.code.distributions import distribution_of
from pytest_modal.code.inventory import inventory
from pytest_modal.code.requirements import derive, requirements_of


class Versions:
    """Versions of what the calls of a batch need.

    Parameters
    ----------
    on_this_machine : bool
        Whether they run with what is installed here; else with what their image installs.
    """

    def __init__(self, batch: Batch, *, on_this_machine: bool) -> None:
        self._batch, self._on_this_machine = batch, on_this_machine
        self._known: dict[object, dict[str, str]] = {}

    def of(self, call: Call) -> dict[str, str]:
        """Return the versions of Python and of the distributions that a call needs, or from where they come."""
        nodes = [call, *(self._batch.containers[key] for key in call.containers)]
        imports = frozenset(name for node in nodes for name in node.imports)
        words = frozenset(word for node in nodes for word in node.words)
        needed = call.environment.key, imports, words
        if needed not in self._known:
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            self._known[needed] = {"python": python, **dict(self._versions(call, imports, words))}
        return self._known[needed]

    def _versions(self, call: Call, imports: frozenset[str], words: frozenset[str]) -> Iterator[tuple[str, str]]:
        if self._on_this_machine:
            asked = derive(imports, call.environment.local_packages, words).packages
        else:
            # What others need beside it would make it depend on the selection.
            asked = requirements_of(Batch([call], self._batch.containers), call.environment).packages
        for requirement in asked:
            name = distribution_of(requirement)
            if name is not None:
                here = inventory().version(name) if self._on_this_machine else None
                yield name, here or requirement.partition("==")[2] or requirement


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what has changed, such as ``torch 2.12.0 -> 2.13.0``."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return [f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}" for name in names]
