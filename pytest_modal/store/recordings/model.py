"""A recording: which call, what it depended on, where it ran, what came back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Status
from pytest_modal.code.keys import changed


@dataclass(frozen=True)
class Name:
    """Which call a recording is of.

    Attributes
    ----------
    module : str
        The stem of a test module, such as "test_accuracy".
    fixture : str
        The remote fixture, or the function of a marker.
    params : tuple of str
        Its parameters as they are shown.
    apart : str
        What distinguishes the call from others of the same fixture and params; empty for most calls.
    """

    module: str
    fixture: str
    params: tuple[str, ...] = ()
    apart: str = ""

    def __post_init__(self) -> None:
        # Two lone surrogates in a row would come back from JSON as one character.
        object.__setattr__(self, "params", tuple(map(_escaped, self.params)))
        object.__setattr__(self, "apart", _escaped(self.apart))

    def __str__(self) -> str:
        return self.fixture + (f"[{'-'.join(self.params)}]" if self.params else "")


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Keys:
    """What a result depends on, in parts, so that a change can be named.

    Attributes
    ----------
    function : mapping of str to str
        Digests of the parts of its code, of its container fixtures too: see `pytest_modal.code.keys`.
    arguments : mapping of str to str
        Digests of the arguments.
    environment : mapping of str to JSON
        What is declared: see `declared`.
    outdated : bool
        Whether an earlier version made them, which saw code in other parts: nothing can be compared.
    """

    function: Mapping[str, str]
    arguments: Mapping[str, str]
    environment: Mapping[str, Any]
    outdated: bool = False

    @property
    def digest(self) -> str:
        """One digest of all, used where the result of the call is an argument of another."""
        return digest_of(
            *(json.dumps(part, sort_keys=True) for part in map(dict, (self.function, self.arguments, self.environment)))
        )


@dataclass(frozen=True)
class RunFacts:
    """Where and when a call ran: shown, never compared.

    Attributes
    ----------
    date : str
        ISO 8601, with its offset from UTC.
    gpu : str
        The device that it really ran on.
    python : str
        Its version.
    packages : mapping of str to str
        Versions of the packages that were installed there.
    seconds : float
        How long the call took, without model loads.
    """

    date: str
    gpu: str
    python: str
    packages: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Recording:
    """One call, recorded.

    Attributes
    ----------
    value : data
        What came back.
    stdout, stderr : str or None
        What was printed; None leaves it out, for what is printed is not meant to be published.
    """

    name: Name
    keys: Keys
    facts: RunFacts
    value: Any
    status: Status = "ok"
    stdout: str | None = None
    stderr: str | None = None


@dataclass(frozen=True)
class Slot:
    """Where the recording of a call belongs, and what it depends on."""

    directory: Path
    name: Name
    keys: Keys


def declared(environment: Environment) -> dict[str, Any]:
    """Return what is declared of an environment, as JSON: no values of environment variables, no secrets.

    Images, volumes and environment variables have no content that could be compared here: their names are
    shown, and what their declaration says is a part of the code (see `pytest_modal.code.keys`).
    """
    found = {
        "gpu": _plain(environment.gpu),
        "timeout": environment.timeout if math.isfinite(environment.timeout) else str(environment.timeout),
        "packages": _plain(environment.packages),
        "local_packages": _plain(environment.local_packages),
        "image": None if environment.image is None else "declared",
        "volumes": sorted(mount for mount, _ in environment.volumes),
        "secrets": [secret if isinstance(secret, str) else type(secret).__name__ for secret in environment.secrets],
        "env": sorted(name for name, _ in environment.env),
        "cpu": environment.cpu,
        "memory": environment.memory,
        "region": _plain(environment.region),
        "retries": environment.retries,
        "max_containers": environment.max_containers,
    }
    # Recordings without a seed say nothing of it, as all those from before there was one.
    return found if environment.seed is None else {**found, "seed": environment.seed}


def _plain(value: str | tuple[str, ...] | None) -> Any:
    return list(value) if isinstance(value, tuple) else value


def differences(recorded: Keys, wanted: Keys) -> list[str]:
    """Return in words what has changed since a recording was made; nothing, if it is fresh."""
    if recorded.outdated:
        return ["how pytest-modal compares code"]
    arguments = changed(recorded.arguments, wanted.arguments)
    settings = sorted({*recorded.environment, *wanted.environment})
    return [
        *changed(recorded.function, wanted.function),
        *(f"argument {each}" for each in arguments),
        *(
            f"environment: {setting} was {_shown(old)}, is {_shown(new)}"
            for setting in settings
            if (old := recorded.environment.get(setting)) != (new := wanted.environment.get(setting))
        ),
    ]


def _shown(setting: object) -> str:
    return ", ".join(map(str, setting)) or "none" if isinstance(setting, list) else str(setting)
