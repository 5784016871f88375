"""Gates of a project: the baselines below its rootdir, whatever this run selected."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pytest_modal.committed import first_line
from pytest_modal.gate.judge.baseline_paths import DIRECTORY, OUTPUTS, SUFFIX

_NEVER_SEARCHED = ("node_modules", "__pycache__", "site-packages", "build", "dist")


def gates_of_project(rootdir: Path) -> frozenset[str]:
    """Return the names of all gates that have a baseline below the rootdir."""
    found: set[str] = set()
    for directory, below, files in os.walk(rootdir):
        below[:] = [name for name in below if not name.startswith(".") and name not in _NEVER_SEARCHED]
        if "pyvenv.cfg" in files:
            below.clear()
        elif Path(directory).name == DIRECTORY:
            paths = [Path(directory, name) for name in files if name.endswith(SUFFIX) and not name.endswith(OUTPUTS)]
            found.update(map(_gate_of, paths))
    return frozenset(found)


def _gate_of(path: Path) -> str:
    """Return the gate of a baseline; several devices may have one each."""
    try:
        header = json.loads(first_line(path))
    except (OSError, ValueError):
        header = None
    gate = header.get("gate") if isinstance(header, dict) else None
    return gate if isinstance(gate, str) else path.name.removesuffix(SUFFIX)
