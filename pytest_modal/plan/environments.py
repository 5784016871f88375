"""Environments of calls, and conflicts between declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modal.batch.environment import Environment
from pytest_modal.code.local_code import CodeKeyError
from pytest_modal.code.package_names import wrong_package
from pytest_modal.declare.gpus import wrong_gpu
from pytest_modal.declare.keywords import ENVIRONMENT
from pytest_modal.declare.remote_function import RemoteFunction
from pytest_modal.plan.state import PlanningError
from pytest_modal.wording import three_parts


class Environments:
    """Finds the environment of each call.

    What is nearer replaces what is farther, but variables, volumes and secrets of the project are added to: a test that
    wants one more does not lose the others.

    Parameters
    ----------
    defaults : mapping
        Settings of the project for every environment.
    location : callable
        Returns ``path:line`` of a function.
    """

    def __init__(self, defaults: Mapping[str, Any], location: Callable[[Callable[..., object]], str]) -> None:
        self._defaults = defaults
        self._location = location
        self._alike: dict[str, list[str]] = {}
        self._last: dict[RemoteFunction, Environment] = {}
        self._wrong_packages: dict[str, tuple[str, str] | None] = {}

    def of(
        self, remote: RemoteFunction, marked: Mapping[str, Any], containers: Sequence[RemoteFunction], nodeid: str
    ) -> Environment:
        """Return the environment of a call.

        Parameters
        ----------
        marked : mapping
            The settings of the test's markers.
        containers : sequence of RemoteFunction
            The container fixtures that the call needs.
        nodeid : str
            The test that needs it first.

        Raises
        ------
        PlanningError
            Two container fixtures declare different settings, and nothing nearer decides; Modal has no such GPU; a
            local package can't travel; a volume is mounted twice.
        """
        # Precedence: the test's marker, the fixture's own, its container fixtures', the project's.
        own = {**remote.settings, **marked}
        settings: dict[str, Any] = {}
        declared_by: dict[str, RemoteFunction] = {}
        for name in ENVIRONMENT:
            if name in own:
                settings[name] = own[name]
                continue
            for container in dict.fromkeys(containers):
                if name not in container.settings:
                    continue
                value = container.settings[name]
                if name in settings and settings[name] != value:
                    raise self._conflict(remote, name, (declared_by[name], settings[name]), (container, value))
                settings[name], declared_by[name] = value, container
        if "gpu" in settings:
            self._check_gpu(settings["gpu"], declared_by.get("gpu", remote), marked, nodeid)
        if packages := settings.get("local_packages", self._defaults.get("local_packages", ())):
            place = f"{self._location(declared_by.get('local_packages', remote).function)}, for {nodeid}"
            if "local_packages" not in settings:
                place = f"the ini, modal_local_packages, for {nodeid}"
            self._check_packages(packages, nodeid if "local_packages" in marked else place)
        found = Environment(**{**self._defaults, **settings, **self._combined(settings)})
        place = f"{self._location(declared_by.get('volumes', remote).function)}, for {nodeid}"
        if "volumes" not in settings:
            place = f"the ini, modal_volumes, for {nodeid}"
        _check_volumes(found.volumes, nodeid if "volumes" in marked else place)
        # Nearly all calls of a function have the same one: it is kept once, and digested once.
        if self._last.get(remote) != found:
            self._last[remote] = found
        return self._last[remote]

    def _combined(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the project declares together with what is declared nearer, as an App and its Functions do."""
        found: dict[str, Any] = {}
        for name in ("env", "volumes"):
            if name in settings and name in self._defaults:
                found[name] = tuple(sorted({**dict(self._defaults[name]), **dict(settings[name])}.items()))
        if "secrets" in settings and "secrets" in self._defaults:
            found["secrets"] = tuple(dict.fromkeys([*self._defaults["secrets"], *settings["secrets"]]))
        return found

    def _check_gpu(
        self, gpu: str | tuple[str, ...] | None, remote: RemoteFunction, marked: Mapping[str, Any], nodeid: str
    ) -> None:
        if gpu is None:
            return
        for name in [gpu] if isinstance(gpu, str) else gpu:
            if (wrong := wrong_gpu(name)) is not None:
                where = nodeid if "gpu" in marked else f"{self._location(remote.function)}, for {nodeid}"
                raise PlanningError(three_parts(f"gpu={wrong[0]}", where, wrong[1]))

    def _check_packages(self, names: tuple[str, ...], place: str) -> None:
        for name in names:
            if name not in self._wrong_packages:
                try:
                    self._wrong_packages[name] = wrong_package(name)
                except CodeKeyError as error:
                    raise PlanningError(str(error)) from None
            if (wrong := self._wrong_packages[name]) is not None:
                raise PlanningError(three_parts(wrong[0], f"local_packages= of {place}", wrong[1]))

    def key(self, environment: Environment) -> str:
        """Return a key that differs between environments and is the same in every process."""
        # Two images may describe themselves alike.
        alike = self._alike.setdefault(environment.declared, [])
        if environment.key not in alike:
            alike.append(environment.key)
        number = alike.index(environment.key)
        return environment.declared + (f"#{number}" if number else "")

    def _conflict(
        self,
        remote: RemoteFunction,
        name: str,
        one: tuple[RemoteFunction, object],
        other: tuple[RemoteFunction, object],
    ) -> PlanningError:
        declared = ", ".join(f"{by.name} declares {name}={value!r}" for by, value in (one, other))
        return PlanningError(
            three_parts(
                f"{remote.name} needs two environments: {declared}",
                " and ".join(self._location(by.function) for by, _ in (one, other)),
                f"declare the same {name} on both, or set {name}= on {remote.name}",
            )
        )


def _check_volumes(volumes: Sequence[tuple[str, object]], place: str) -> None:
    paths: dict[str, list[str]] = {}
    for path, volume in volumes:
        if isinstance(volume, str):
            paths.setdefault(f"modal.Volume.from_name({volume!r})", []).append(path)
        # It describes itself by name and environment. A bucket has no name, and may be mounted twice.
        elif isinstance(getattr(volume, "name", None), str):
            paths.setdefault(repr(volume), []).append(path)
    for name, mounts in paths.items():
        if len(mounts) > 1:
            what = f"volumes= mounts {name} at {' and at '.join(mounts)}, and Modal mounts a volume only once"
            raise PlanningError(three_parts(what, place, "mount it at one of them, and use that path in the functions"))
