"""Facts of a run that its record has of this machine: the commit, the command, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

_GIT_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Commit:
    """The state of a git repository: commit and branch, empty where there is none; whether the tree is as committed."""

    name: str = ""
    branch: str = ""
    clean: bool | None = None


def commit_of(rootdir: Path) -> Commit:
    """Return the state of the repository that a directory is in."""
    command = ["git", "-C", str(rootdir), "status", "--porcelain=v2", "--branch"]
    # Other programs may work in the repository meanwhile: nothing in it is locked.
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_TIMEOUT, env=variables, check=True)
    except (OSError, subprocess.SubprocessError):
        return Commit()
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    names = [heads.get(f"branch.{each}", "") for each in ("oid", "head")]
    commit, branch = ("" if name.startswith("(") else name for name in names)  # "(initial)", "(detached)"
    return Commit(commit, branch, clean=all(line.startswith("#") for line in lines))


def versions_of(packages: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return versions on this machine, and those of the packages that calls were made with."""
    found: dict[str, dict[str, None]] = {}
    for each in packages:
        for name, number in each.items():
            found.setdefault(name, {})[number] = None
    try:
        own = version("pytest-modal")
    except PackageNotFoundError:
        own = ""
    here = {"python": platform.python_version(), "pytest": pytest.__version__, "pytest-modal": own}
    return here | {name: ", ".join(numbers) for name, numbers in sorted(found.items()) if name not in here}
