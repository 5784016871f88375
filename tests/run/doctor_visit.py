"""Runs `pytest-modal doctor` as users do, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "pytest-modal-doctor.json"


@dataclass
class Visit:
    """What a visit has left."""

    status: int
    text: str
    report: dict[str, Any]

    def check(self, name: str) -> dict[str, Any]:
        """Return what the report says of a check."""
        (found,) = (check for check in self.report["checks"] if check["name"] == name)
        return dict(found)


def start(*arguments: str, without: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """Start the command on the loopback server, with these variables and without those."""
    command = [sys.executable, "-m", "pytest_modal.cli", "doctor", "--local", *arguments]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    variables = {name: value for name, value in {**os.environ, **environment}.items() if name not in without}
    return subprocess.Popen(command, env=variables, **pipes)


def visit(*arguments: str, without: Sequence[str] = (), **environment: str) -> Visit:
    """Run the command to its end."""
    with start(*arguments, without=without, **environment) as process:
        try:
            text, _ = process.communicate(timeout=100)
        finally:
            process.kill()
    print(text)
    return Visit(process.returncode, text, json.loads(Path(FILE).read_text()))
