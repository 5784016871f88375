"""One run of pytest on a suite, whose report many tests read: a run is expensive, each of its outcomes is a test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

_TITLE = re.compile(r"_+ (?!_)(.+) _+|=+ (.+) =+")  # not "_ _ _", which is between the entries of a traceback


def run_suite(
    directory: Path, files: Mapping[str, str], *arguments: str, env: Mapping[str, str], timeout: float = 90
) -> pytest.RunResult:
    """Write the files of a suite, by name, and run pytest on them in a process, in the order of the files."""
    for name, source in files.items():
        (directory / name).write_text(textwrap.dedent(source).strip() + "\n")
    own = {"HOME": str(directory), "PY_COLORS": "0"}
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", f"--basetemp={directory / 'basetemp'}", *arguments]
    start = time.monotonic()
    process = subprocess.run(
        command, cwd=directory, env={**env, **own}, capture_output=True, encoding="utf-8", timeout=timeout
    )
    output, errors = process.stdout.splitlines(), process.stderr.splitlines()
    print(process.stdout, process.stderr, sep="\n")  # shown if the first test that requests the run fails
    return pytest.RunResult(process.returncode, output, errors, time.monotonic() - start)


def files_of_tests(root: Path) -> dict[str, bytes]:
    """Return the files that the tests of a run wrote below an output root, by path, and the list of them, if any."""
    if not (root / "artifacts.json").exists():
        return {}
    listed = (root / "artifacts.json").read_bytes()
    paths = [each["path"] for each in json.loads(listed)["artifacts"]]
    return {"artifacts.json": listed, **{path: (root / path).read_bytes() for path in paths}}


def section(result: pytest.RunResult, title: str) -> list[str]:
    """Return the lines under a title of the report, for example ``ERROR at setup of test_it``; empty without it."""
    lines: list[str] = []
    inside = False
    for line in result.outlines:
        match = _TITLE.fullmatch(line)
        if match:
            inside = title in match.groups()
        elif inside:
            lines.append(line)
    while lines and not lines[-1]:  # the blank line above the next title
        lines.pop()
    return lines
