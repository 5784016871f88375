"""The worker process: requests on standard input, replies on standard output.

Standard library only; it travels beside `pytest_modal.remote.worker`, which does the work.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pytest_modal.remote.child import note_phase
from pytest_modal.remote.debugger import refuse_breakpoints
from pytest_modal.remote.described import Notes, no_notes
from pytest_modal.remote.device import Card
from pytest_modal.remote.framing import Limits, read_message, write_message
from pytest_modal.remote.installed import is_installed
from pytest_modal.remote.isolation import Isolation
from pytest_modal.remote.keeper import keep
from pytest_modal.remote.starting import PHASE
from pytest_modal.remote.worker import Worker


def main(name: str, output: str) -> None:
    """Serve local mock mode, whose first message are the `Limits` of this process.

    Parameters
    ----------
    name : str
        Name of this process in outcomes.
    output : str
        File for the output of the functions: the parent reads it even after a crash.
    """
    limits: Limits
    limits, requests, replies = _begin(output)
    refuse_breakpoints()
    hide(limits["roots"])
    isolation = Isolation(limits)
    isolation.begin()
    _serve(name, output, requests, replies, notes=isolation.notes)


def main_in_container(name: str, output: str) -> None:
    """Serve the supervisor in a container of Modal, whose first message says which GPU it has; otherwise as `main`."""
    first, requests, replies = _begin(output)
    refuse_breakpoints("a container has no terminal")
    # Where memory runs out, this process is killed, and not the one that says so.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _serve(name, output, requests, replies, card=Card(*first["card"]))


def _begin(output: str) -> tuple[Any, IO[bytes], IO[bytes]]:
    """Return the first message and the streams of requests and replies; functions get the standard streams."""
    keep()
    replies = os.fdopen(os.dup(1), "wb")
    requests: IO[bytes] = os.fdopen(os.dup(0), "rb")
    for path, flags, target in ((os.devnull, os.O_RDONLY, 0), (output, os.O_WRONLY | os.O_APPEND, 1)):
        opened = os.open(path, flags)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
    first = read_message(requests)
    if first is None:
        os._exit(1)
    return first[0], requests, replies


def _serve(
    name: str,
    output: str,
    requests: IO[bytes],
    replies: IO[bytes],
    *,
    card: Card | None = None,
    notes: Notes = no_notes,
) -> None:
    interrupt = _Interrupt()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        while (message := read_message(requests)) is not None:
            if "interrupt" in message[0]:
                if not interrupt.happen():
                    inbox.put(message[0])
            else:
                inbox.put(message[0])
        # The parent has ended: a call that still runs would occupy a GPU for nothing.
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    phases = os.open(Path(output).with_name(PHASE), os.O_WRONLY)

    def notify(phase: str, key: str) -> None:
        note_phase(phases, phase, key)
        if key and phase != "teardown":
            write_message(replies, {"event": phase, "key": key})

    worker = Worker(
        name,
        notify=notify,
        is_fatal=lambda error: interrupt.happened,
        card=card,
        notes=notes,
    )
    write_message(replies, {"event": "ready", "key": ""})
    while "stop" not in (request := inbox.get()):
        answer: tuple[Any, Any] = {"event": "interrupted", "key": ""}, None
        try:
            if "release" in request:
                answer = {"event": "released", "key": "", "teardowns": worker.release(request["release"])}, None
            elif "interrupt" not in request:
                with interrupt.possible():
                    answer = worker.handle(request)
                if interrupt.happened:  # while an exception was described, which catches everything
                    answer = {"event": "interrupted", "key": ""}, None
        except BaseException:
            if not interrupt.happened:
                raise
        write_message(replies, *answer)
    write_message(replies, {"event": "released", "key": "", "teardowns": worker.release_all()})
    os._exit(0)


class _Interrupt:
    """Ends a running call by a KeyboardInterrupt from another thread, and nothing but a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = False
        self.happened = False

    @contextlib.contextmanager
    def possible(self) -> Iterator[None]:
        """Let it happen in the block."""
        self.happened, self._runs = False, True
        try:
            yield
        finally:
            while self._runs:
                # A signal that was sent arrives here at the latest: while waiting for the lock.
                with contextlib.suppress(KeyboardInterrupt), self._lock:
                    self._runs = False

    def happen(self) -> bool:
        """Return whether a call runs that is ended."""
        with self._lock:
            if self._runs:
                self.happened = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return self._runs


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
