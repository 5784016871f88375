"""The local worker process: requests on standard input, replies on standard output.

Standard library only; it travels beside `pytest_modal.remote.worker`, which does the work.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, Any

from pytest_modal.remote.debugger import refuse_breakpoints
from pytest_modal.remote.framing import Limits, read_message, write_message
from pytest_modal.remote.installed import is_installed
from pytest_modal.remote.isolation import Isolation
from pytest_modal.remote.worker import Worker


def main(name: str, output: str) -> None:
    """Serve the local backend, whose first message are the `Limits` of this process.

    Parameters
    ----------
    name : str
        Name of this container.
    output : str
        File for the output of the functions: the parent reads it even after a crash.
    """
    replies = os.fdopen(os.dup(1), "wb")
    requests: IO[bytes] = os.fdopen(os.dup(0), "rb")
    for path, flags, target in ((os.devnull, os.O_RDONLY, 0), (output, os.O_WRONLY | os.O_APPEND, 1)):
        opened = os.open(path, flags)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
    refuse_breakpoints()
    first = read_message(requests)
    if first is None:
        os._exit(1)
    limits: Limits = first[0]
    hide(limits["roots"])
    isolation = Isolation(limits)
    isolation.begin()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        while (message := read_message(requests)) is not None:
            inbox.put(message[0])
        # The parent has ended: a call that still runs would occupy a GPU for nothing.
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(
        name, notify=lambda phase, key: write_message(replies, {"event": phase, "key": key}), notes=isolation.notes
    )
    write_message(replies, {"event": "ready", "key": ""})
    while "stop" not in (request := inbox.get()):
        write_message(replies, *worker.handle(request))
    write_message(replies, {"event": "stopped", "key": "", "teardown_errors": worker.release_all()})
    os._exit(0)


def hide(forbidden: list[str]) -> None:
    """Remove the project from the import path: a container does not have it."""
    roots = [Path(root) for root in forbidden]

    def is_project(entry: str) -> bool:
        path = Path(entry or ".").resolve()
        return any(path.is_relative_to(root) for root in roots) and not is_installed(path)

    sys.path[:] = [entry for entry in sys.path if entry.endswith(".zip") or not is_project(entry)]
    # Editable installs of modern build tools don't use the path: they map names to directories.
    for finder in list(sys.meta_path):
        module = sys.modules.get(getattr(finder, "__module__", ""))
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            for package in [name for name, where in mapping.items() if is_project(str(where))]:
                del mapping[package]
