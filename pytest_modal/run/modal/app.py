"""The Modal App of a batch: one Function per environment, each with its image, volumes and secrets."""

from __future__ import annotations

import getpass
import math
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.requirements import Requirements
from pytest_modal.code.pins import needs_git
from pytest_modal.code.requirements import layers, requirements_of
from pytest_modal.declare.facts import Facts
from pytest_modal.declare.gpus import as_modal_takes
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.remote.child import START_TIMEOUT, TEARDOWN_TIMEOUT
from pytest_modal.remote.starting import CACHE
from pytest_modal.run.bundle import bundle
from pytest_modal.run.modal.entry import PYTHON, entry_class
from pytest_modal.run.staging import stage

CACHE_PATH = "/cache/huggingface"
ROOT = "/root"  # where Modal's runtime looks for modules, before the installed ones
SCALEDOWN_WINDOW = 60  # seconds that an idle container, which is paid for, waits for calls that depend on others
_LONGEST_NAME = 63
PACK_SECONDS = 1.0  # of work that a container gets at a time, at least
_ROUND_TRIPS = 4  # of which a pack hides so many: it is sent, fetched, returned, and waited for
_DAY = 24 * 3600


@dataclass(frozen=True)
class Service:
    """An environment as Modal knows it.

    Attributes
    ----------
    name : str
        Name of the Modal Function, unique in the App.
    instance : callable
        Returns the handle whose ``run`` takes packs of calls.
    """

    name: str
    environment: Environment
    instance: Callable[..., Any]


def build_app(
    batch: Batch,
    environments: Mapping[str, Environment],
    rootdir: Path,
    options: SessionOptions,
    scratch: Path,
    mark: str,
) -> tuple[Any, list[Service]]:
    """Define the App of a batch and its Functions; nothing is sent yet.

    Parameters
    ----------
    environments : mapping
        Those of the batch that it is to have, by the name of their Function.
    scratch : Path
        A directory for the files that are sent, which has to be there until the App runs.
    mark : str
        Begins the lines by which containers report.

    Raises
    ------
    modal.exception.Error
        Modal does not accept a setting.
    """
    import modal

    # Nothing of the project may be uploaded: neither the test module nor the files beside it.
    app = modal.App(project_name(rootdir), tags=tags(rootdir), include_source=False)
    services = []
    for name, environment in environments.items():
        packages = scratch / digest_of(*environment.local_packages) if environment.local_packages else None
        if packages is not None and not packages.exists():
            stage(environment.local_packages, packages)
        settings = function_settings(environment, requirements_of(batch, environment), options, packages)
        instance = app.cls(serialized=True, **settings)(_entry(name, environment, options, mark))
        services.append(Service(name, environment, instance))
    return app, services


def _entry(name: str, environment: Environment, options: SessionOptions, mark: str) -> type:
    # With Secrets, what a container has is secret, unless it is known to be something else.
    public = tuple(variable for variable, _ in environment.env) if environment.secrets else None
    return entry_class(name, bundle(), mark, options.secret_variables, public)


def function_settings(
    environment: Environment, requirements: Requirements, options: SessionOptions, packages: Path | None = None
) -> dict[str, Any]:
    """Return the arguments of ``app.cls`` for an environment; `packages` is a directory with its local packages."""
    import modal

    gpu = environment.gpu
    volumes = {path: _volume(volume) for path, volume in environment.volumes}
    env = dict(environment.env)
    if options.cache_volume:
        # Modal mounts a volume once: where the project does it by itself, there is the cache.
        own = [path for path, volume in volumes.items() if getattr(volume, "name", None) == options.cache_volume]
        env[CACHE] = own[0] if own else CACHE_PATH
        volumes = volumes if own else {CACHE_PATH: _volume(options.cache_volume), **volumes}
    region = environment.region
    return {
        "image": image(environment, requirements, packages),
        "gpu": [*map(as_modal_takes, gpu)] if isinstance(gpu, tuple) else gpu and as_modal_takes(gpu),
        "timeout": min(_DAY, math.ceil(pack_timeout(environment, pack_seconds(options.facts)))),
        "startup_timeout": min(_DAY, math.ceil(options.startup_timeout)),
        "scaledown_window": SCALEDOWN_WINDOW,
        "max_containers": environment.max_containers,
        "volumes": volumes,
        "secrets": [modal.Secret.from_name(each) if isinstance(each, str) else each for each in environment.secrets],
        "env": env,
        "cpu": environment.cpu,
        "memory": environment.memory,
        "region": list(region) if isinstance(region, tuple) else region,
        **dict(environment.modal),
    }


def pack_seconds(facts: Facts) -> float:
    """Return the seconds of work that a container gets at a time: enough to hide the round trip."""
    return max(PACK_SECONDS, _ROUND_TRIPS * facts.round_trip_seconds)


def pack_timeout(environment: Environment, seconds: float = PACK_SECONDS) -> float:
    """Return the seconds within which a pack of calls ends, whatever they do.

    Parameters
    ----------
    seconds : float
        Of work that are sent at a time.

    The supervisor in the container holds the time limit of each call; Modal's is only there for a supervisor that
    can't.
    """
    # The last call of a pack may begin late, and is tried again after a crash; twice it may wait for teardowns.
    return seconds + 3 * TEARDOWN_TIMEOUT + (2 + environment.retries) * (environment.timeout + START_TIMEOUT)


def image(environment: Environment, requirements: Requirements, packages: Path | None = None) -> Any:
    """Return the image of an environment: the declared one, or the smallest that has what is needed."""
    import modal

    described = environment.image
    if described is None:
        described = modal.Image.debian_slim(python_version=PYTHON)
        if any(map(needs_git, requirements.packages)):
            described = described.apt_install("git")
    for layer in layers(environment, requirements.packages):
        described = described.uv_pip_install(*layer)
    if packages is not None:
        # It comes last: nothing can be built after it. Modal compares its files by content, and sends what is new.
        described = described.add_local_dir(packages, ROOT)
    return described


def _volume(volume: Any) -> Any:
    import modal

    return modal.Volume.from_name(volume, create_if_missing=True) if isinstance(volume, str) else volume


def named(environments: Sequence[Environment]) -> dict[str, Environment]:
    """Return environments by the names of their Functions, which tell people what they are."""
    found: dict[str, Environment] = {}
    for environment in environments:
        gpu = environment.gpu
        first = gpu if isinstance(gpu, str) else "_or_".join(gpu or ("CPU",))
        base = re.sub(r"[^A-Za-z0-9]+", "_", first).strip("_")[:40]
        number = sum(name == base or name.startswith(f"{base}__") for name in found) + 1
        found[base if number == 1 else f"{base}__{number}"] = environment
    return found


def project_name(rootdir: Path) -> str:
    """Return the name of the project: from its ``pyproject.toml``, or else that of its directory."""
    name = rootdir.name
    try:
        with (rootdir / "pyproject.toml").open("rb") as stream:
            name = str(tomllib.load(stream).get("project", {}).get("name") or name)
    except (OSError, tomllib.TOMLDecodeError):
        pass
    return _tag(name) or "pytest-modal"


def tags(rootdir: Path) -> dict[str, str]:
    """Return the user and the commit, by which the dashboard and the bill can be sorted."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    command = ["git", "-C", str(rootdir), "rev-parse", "--short=12", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    found = {"tool": "pytest-modal", "user": _tag(user), "commit": _tag(commit)}
    return {name: value for name, value in found.items() if value}


def _tag(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")[:_LONGEST_NAME]
