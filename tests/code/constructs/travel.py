"""The journey of a construct's functions: planned with the project, run when it is gone, compared."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from constructs import journey
from constructs.construct import Construct, Raises, Returns
from pytest_modal.remote.children import WORKER
from pytest_modal.run.bundle import unpack


class Planned(TypedDict, total=False):
    """What planning says of a function."""

    refused: str
    payload: str
    key: str
    imports: list[str]
    optional: list[str]
    modules: list[str]
    travels: list[tuple[str, str, str, int]]
    here: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What planning left in a box: what travels, and what it says of each function."""

    box: Path
    functions: Mapping[str, Planned]

    def travelling(self) -> Iterator[tuple[str, bytes]]:
        """Yield what travels, by name, as it is and decompressed."""
        for path in sorted([*self.box.glob("*.payload"), *self.box.glob("*.module")]):
            sent = path.read_bytes()
            yield path.name, sent
            try:
                yield f"{path.name}, decompressed", zlib.decompress(sent)
            except zlib.error:
                continue


def missing(construct: Construct) -> str | None:
    """Return the reason why a construct can't be tried here, None without one."""
    absent = [package for package in construct.needs if _is_absent(package)]
    return f"needs {', '.join(absent)}" if absent else None


def plan(construct: Construct, top: Path) -> Plan:
    """Plan the functions of a construct in a process that has its project, which is deleted afterwards."""
    project, packages, box = top / "project", top / "site-packages", top / "box"
    for directory in (project, packages, box):
        directory.mkdir()
    construct.write(project, packages)
    asked = {
        "functions": construct.functions,
        "imported_before": construct.imported_before,
        "local_packages": construct.local_packages,
    }
    (box / "asked.json").write_text(json.dumps(asked))
    _run(["-P", journey.__file__, "plan", str(project), str(box)], project, construct.env, packages)
    shutil.rmtree(project)
    return Plan(box, json.loads((box / journey.PLAN).read_text()))


def run(construct: Construct, planned: Plan, top: Path) -> dict[str, dict[str, str]]:
    """Call what was planned in a process that has nothing else; return what happened to each function."""
    empty = top / "empty"
    empty.mkdir()
    unpack(planned.box / WORKER)
    script = shutil.copy(journey.__file__, planned.box)
    _run(["-I", str(script), "run", str(planned.box)], empty, construct.env_there)
    there: dict[str, dict[str, str]] = json.loads((planned.box / journey.THERE).read_text())
    return {
        name: {"refused": function["refused"]} if "refused" in function else there[name]
        for name, function in planned.functions.items()
    }


def differences(construct: Construct, planned: Plan, there: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return, for each function that gave something else there than it should, both, and its traceback."""
    found = [f"{name}: no such function" for name in construct.expected if name not in there]
    for name, outcome in there.items():
        expected = construct.expected.get(name) or _as_here(planned.functions[name]["here"])
        if not expected.agrees(outcome):
            kind, what = next((kind, outcome[kind]) for kind in ("returned", "raised", "refused") if kind in outcome)
            found.append(f"{name}: expected {expected}\n  {kind} {what}\n{outcome.get('traceback', '')}".rstrip())
    return found


def wrong_requirements(construct: Construct, planned: Plan) -> list[str]:
    """Return, for each function that requires other packages than it should among those that are not here, both."""
    found = []
    for name, function in planned.functions.items():
        for what, names in (("required", function.get("imports", [])), ("optional", function.get("optional", []))):
            absent = {top for top in (each.partition(".")[0] for each in names) if _is_absent(top)}
            expected = (construct.required if what == "required" else construct.optional).get(name, set())
            if absent != expected:
                found.append(f"{name}: expected to be {what}: {sorted(expected)}\n  {what} {sorted(absent)}")
    return found


def _is_absent(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ValueError:  # the name of what a package has made at run time
        return True


def _as_here(here: Mapping[str, str]) -> Returns | Raises:
    return Returns(here["returned"]) if "returned" in here else Raises(here["raised"])


def _run(arguments: list[str], directory: Path, env: Mapping[str, str], *packages: Path) -> None:
    path = os.pathsep.join(filter(None, [*map(str, packages), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **env},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert not done.returncode, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
