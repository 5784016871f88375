"""Where a call runs. A separate module, because suites without GPU tests import it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from pytest_modal.batch.digest import digest_of

_IMAGE = ("gpu", "packages", "local_packages", "image")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True)
class Environment:
    """Where a call runs. Every call of one environment shares one Modal Function, whatever its seed is.

    Attributes
    ----------
    gpu : str or tuple of str or None
        A GPU type, or types in order of preference.
    timeout : float
        Seconds that one call may take, loading its models included.
    packages : tuple of str or None
        Requirements of the image; None derives them from the imports.
    local_packages : tuple of str
        Importable local packages whose source travels with the call.
    seed : int or None
        What random numbers begin with, before each call and each container fixture.
    cpu, memory : number, pair of numbers or None
        Cores, and MiB: what a container gets, and its limit.
    modal : tuple of pairs
        Settings of the Modal Function that have no keyword here.
    round : int
        Not declared: repeats of calls are independent if each round has its own containers.
    """

    gpu: str | tuple[str, ...] | None = "T4"
    timeout: float = 1800
    packages: tuple[str, ...] | None = None
    local_packages: tuple[str, ...] = ()
    image: Any = None
    volumes: tuple[tuple[str, object], ...] = ()
    secrets: tuple[object, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cpu: float | tuple[float, float] | None = None
    memory: int | tuple[int, int] | None = None
    region: str | tuple[str, ...] | None = None
    retries: int = 0
    max_containers: int = 1
    seed: int | None = None
    modal: tuple[tuple[str, object], ...] = ()
    round: int = 0

    # Asked for once a call and stage, and the settings don't change.
    @cached_property
    def key(self) -> str:
        """Digest of all settings but the seed; equal for calls that can share a container."""
        objects = [self.image, *self.secrets, *(each for _, each in (*self.volumes, *self.modal))]
        return digest_of(*self._settings("seed"), *_identities(objects))

    @cached_property
    def declared(self) -> str:
        """Digest of all settings that is the same in every process: objects count by their `repr`."""
        return digest_of(*(_ADDRESS.sub("", setting) for setting in self._settings()))

    @cached_property
    def image_group(self) -> str:
        """Digest of what decides on the image: calls that are alike in it share one, whatever else they declare."""
        return digest_of(*(f"{name}={getattr(self, name)!r}" for name in _IMAGE), *_identities([self.image]))

    def in_round(self, number: int) -> Environment:
        """Return the same for a round of a gate."""
        if number not in self._in_rounds:
            self._in_rounds[number] = replace(self, round=number)
        return self._in_rounds[number]

    @cached_property
    def _in_rounds(self) -> dict[int, Environment]:
        return {}

    @property
    def gpus(self) -> int:
        """How many GPUs one of its containers has."""
        first = self.gpu if isinstance(self.gpu, str) else next(iter(self.gpu or ()), "")
        number = first.partition(":")[2]
        return int(number) if number.isdecimal() else int(bool(first))

    def _settings(self, *left_out: str) -> list[str]:
        # What came later counts only where it is set: keys of what was computed before stay valid.
        later = {"seed": self.seed is not None, "modal": bool(self.modal), "round": self.round > 0}
        names = [item.name for item in fields(self) if later.get(item.name, True) and item.name not in left_out]
        return [f"{name}={getattr(self, name)!r}" for name in names]

    def __str__(self) -> str:
        gpu = self.gpu if isinstance(self.gpu, str) else " or ".join(self.gpu or ("no GPU",))
        parts = [gpu, f"timeout {self.timeout:g} s"]
        if self.max_containers > 1:
            parts.append(f"{self.max_containers:,} containers")
        if self.packages is not None:
            parts.append(", ".join(self.packages))
        if self.round:
            parts.append(f"round {self.round + 1}")
        return "; ".join(parts)


def _identities(objects: Iterable[object]) -> list[str]:
    """Tell objects apart that have one `repr`, as images and secrets of Modal may: each is equal to itself only."""
    return [str(id(each)) for each in objects if each is not None and type(each).__eq__ is object.__eq__]
