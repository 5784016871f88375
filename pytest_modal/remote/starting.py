"""The start of a worker process. It needs little of the standard library: all else is imported while that starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Where the Hugging Face hub's downloads are kept, for images and secrets that don't say where.
CACHE = "PYTEST_MODAL_CACHE"
# File in which the process says what it does: it is there even after a crash, and nobody has to wake up for it.
PHASE = "phase"
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_modal.remote.local_worker import main_in_container; main_in_container(*sys.argv[2:])"
)


class Started:
    """A worker process that has been started, and the files of its output.

    Parameters
    ----------
    name : str
        Names the process in outcomes.
    directory : Path
        Where its output goes: it is there even after a crash. Made here.
    command : sequence of str
        Starts the process; its last arguments are added here: the name, and the file of its standard output.

    Attributes
    ----------
    output : dict of str to int
        Descriptors of the files of its standard output and its standard error.
    phase : int
        That of the file in which it says what it does.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.directory = name, directory
        directory.mkdir(parents=True, exist_ok=True)
        paths = {kind: directory / kind for kind in ("stdout", "stderr")}
        for path in (*paths.values(), directory / PHASE):
            path.write_bytes(b"")
        self.phase = os.open(directory / PHASE, os.O_RDWR)
        self.output = {kind: os.open(path, os.O_RDWR) for kind, path in paths.items()}
        with paths["stderr"].open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, name, str(paths["stdout"])],
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                stderr=stderr,
                # The parent handles Ctrl-C: it must not reach the worker first. What the process starts ends with it.
                start_new_session=True,
            )


def first_in_container() -> Started:
    """Start the first worker process of a container: its interpreter starts while this one imports the rest."""
    if cache := os.environ.pop(CACHE, ""):
        os.environ.setdefault("HF_HOME", cache)
        os.environ.setdefault("HF_XET_HIGH_PERFORMANCE", "1")
    scratch = Path(tempfile.mkdtemp(prefix="pytest-modal-"))
    return in_container(os.environ.get("MODAL_TASK_ID", ""), scratch / "output")


def in_container(name: str, directory: Path) -> Started:
    """Start a worker process of a container."""
    # The same modules are found as here. Connections and signal handlers of Modal's client don't get there.
    command = [sys.executable, "-P", "-X", "faulthandler", "-c", _START, json.dumps(sys.path)]
    return Started(name, directory, command)
