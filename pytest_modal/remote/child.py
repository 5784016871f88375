"""A worker process: started, given calls, watched, killed; by local mock mode and, in a container, by the supervisor.

Standard library only; it travels beside `pytest_modal.remote.local_worker`, which is what the process runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, cast

from pytest_modal.remote.framing import CallRequest, Ended, Missing, Reply, read_message, write_message
from pytest_modal.remote.streams import KEPT_OUTPUT, encodable

START_TIMEOUT = 120.0  # seconds for an interpreter to start; far beyond what a loaded machine needs
STOP_TIMEOUT = 30.0  # seconds for the code after the `yield` of the last container fixtures
END_TIMEOUT = 5.0  # seconds for a process to end whose pipe has
LOOK_INTERVAL = 0.1  # seconds between two looks at what a call prints
# File in which the process says what it does: it is there even after a crash, and nobody has to wake up for it.
PHASE = "phase"
_START = "start", ""
_MOST_OUTPUT = 16 << 20  # bytes on disk: what was printed before is forgotten between two calls


class Watcher(Protocol):
    """Is kept informed while a call runs."""

    def phase(self, phase: str, key: str) -> None:
        """Note that a phase of the call begins; for a load, of which container fixture."""

    def look(self) -> None:
        """Take the chance to look at what was printed: while the call runs, and at its end."""


class Child:
    """A worker process and the pipes to it.

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
    used : bool
        Whether it was given a call.
    known : set of str
        Functions, texts of modules and container fixtures that the process has: their blobs aren't sent again.
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
        self.name = name
        self.used = False
        self.known: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        paths = {kind: directory / kind for kind in ("stdout", "stderr")}
        for path in (*paths.values(), directory / PHASE):
            path.write_bytes(b"")
        self._phase_file = os.open(directory / PHASE, os.O_RDWR)
        self._output = {kind: os.open(path, os.O_RDWR) for kind, path in paths.items()}
        self._begin = dict.fromkeys(paths, 0)  # of what the running call prints
        self._seen = dict.fromkeys(paths, 0)
        with paths["stderr"].open("ab") as stderr:
            self._popen = subprocess.Popen(
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
        self._stdin = io.BufferedWriter(cast(io.RawIOBase, self._popen.stdin))
        self._stdout = cast(IO[bytes], self._popen.stdout)
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN | select.POLLHUP)
        self._told = _START
        self._ready = False
        self._is_writing = False
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._popen.poll() is None

    def tell(self, message: object) -> None:
        """Send what the process expects before any call; that it failed to start is noticed with the first one."""
        with contextlib.suppress(OSError):
            write_message(self._stdin, message)

    def run(self, request: CallRequest, timeout: float, watcher: Watcher) -> tuple[Reply | Missing, bytes]:
        """Run one call; whatever becomes of it is its reply.

        Parameters
        ----------
        request : CallRequest
            With the blobs that this process lacks.
        timeout : float
            Seconds from the moment at which the process has the call, loading its container fixtures included.
        """
        self.used = True
        self._forget_output()
        note_phase(self._phase_file, *_START)
        self._told = _START
        began = time.monotonic()
        deadline, limit = began + START_TIMEOUT, START_TIMEOUT
        if self._ready:
            deadline, limit = self._send(request) + timeout, timeout
        try:
            while True:
                message = self._next(deadline, watcher)
                if message is None:
                    if self.alive and time.monotonic() >= deadline:
                        return self._fallen("timed out", limit, request, {"limit": limit}), b""
                    status, seconds = self._status(), time.monotonic() - began
                    return self._fallen("crashed", seconds, request, {"exit_status": status}), b""
                header, value = message
                if header.get("event") == "ready":
                    self._ready = True
                    deadline, limit = self._send(request) + timeout, timeout
                elif "event" in header:
                    self._tell((header["event"], header["key"]), watcher)
                elif header["status"] == "missing":
                    self.known.clear()
                    missing: Missing = header
                    return missing, b""
                else:
                    reply: Reply = header
                    self.known |= {load["key"] for load in reply["loads"]}
                    reply["stdout"], reply["stderr"] = (self._text(kind) for kind in self._output)
                    if reply["poisoned"]:
                        self.kill()
                    return reply, value
        finally:
            watcher.look()

    def news(self) -> Iterator[tuple[str, bytes]]:
        """Yield what was printed since the last time, by stream."""
        for kind, file in () if self._closed else self._output.items():
            while piece := os.pread(file, 1 << 20, self._seen[kind]):
                self._seen[kind] += len(piece)
                yield kind, piece

    def interrupt(self, seconds: float) -> None:
        """Have the running call end by a KeyboardInterrupt; the process is killed if it takes longer than this."""
        if not self._ready or self._is_writing:
            self.kill()
            return
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            write_message(self._stdin, {"interrupt": True})
            while (message := self._next(deadline)) is not None:
                if message[0].get("event") == "interrupted":
                    return
        self.kill()

    def stop(self, seconds: float = STOP_TIMEOUT) -> list[Any]:
        """Shut the process down; return what went wrong in the teardown of container fixtures."""
        errors: list[Any] = []
        deadline = time.monotonic() + seconds
        if self.alive and self._ready and not self._is_writing:
            with contextlib.suppress(OSError):
                write_message(self._stdin, {"stop": True})
                while (message := self._next(deadline)) is not None:
                    errors += message[0].get("teardown_errors", [])
        self.kill()
        return errors

    def kill(self) -> None:
        """End the process and everything that it started; what it printed can still be read."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def close(self) -> None:
        """Kill the process, and close the files of its output."""
        if not self._closed:
            self.kill()
            self._closed = True
            for file in (*self._output.values(), self._phase_file):
                os.close(file)

    def _next(self, deadline: float, watcher: Watcher | None = None) -> tuple[Any, bytes] | None:
        """Return the next message; None when there is none until the deadline, or the process has ended."""
        while not self._stdout.closed:
            left = max(0.0, deadline - time.monotonic())
            if self._poll.poll(1000 * min(left, LOOK_INTERVAL)):
                return read_message(cast(IO[bytes], self))
            if left <= LOOK_INTERVAL or not self.alive:
                return None
            if watcher is not None:
                self._tell(self._phase(), watcher)
                watcher.look()
        return None

    def _status(self) -> int:
        # Its pipe is at its end: the process has ended, or a call has closed what it doesn't know.
        try:
            return self._popen.wait(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.wait()

    def _tell(self, phase: tuple[str, str], watcher: Watcher) -> None:
        if phase != self._told:
            self._told = phase
            watcher.phase(*phase)

    def read(self, size: int) -> bytes:
        """Read from the pipe of the replies; less at its end, or when the process has ended.

        What the process has started can keep the pipe open.
        """
        taken = bytearray()
        while len(taken) < size:
            if self._poll.poll(1000 * LOOK_INTERVAL):
                piece = os.read(self._stdout.fileno(), min(size - len(taken), 1 << 20))
                if not piece:
                    break
                taken += piece
            elif not self.alive:
                break
        return bytes(taken)

    def _phase(self) -> tuple[str, str]:
        phase, _, key = os.pread(self._phase_file, 256, 0).decode().partition(" ")
        return phase, key.strip()

    def _send(self, request: CallRequest) -> float:
        self._is_writing = True
        # A process that dies meanwhile closes its pipe, which is seen when its reply is read.
        with contextlib.suppress(OSError):
            write_message(self._stdin, request)
        self._is_writing = False
        for spec in [request["call"], *request["containers"]]:
            self.known |= {spec["function"], *spec["modules"]}
        return time.monotonic()

    def _fallen(self, status: Any, seconds: float, request: CallRequest, ended: Ended) -> Reply:
        self.kill()
        phase, container_key = self._phase()
        labels = {spec["key"]: spec["label"] for spec in request["containers"]}
        reply: Reply = {
            "status": status,
            "container": self.name,
            "phase": f"load {labels[container_key]}" if container_key else phase,
            "loads": [],
            "teardown_errors": [],
            "seconds": seconds,
            "device": "",
            "given": "",
            "poisoned": False,
            "ended": ended,
            "stdout": self._text("stdout"),
            "stderr": self._text("stderr"),
        }
        if container_key:
            reply["container_key"] = container_key
        return reply

    def _forget_output(self) -> None:
        for kind, file in self._output.items():
            size = os.fstat(file).st_size
            if size > _MOST_OUTPUT and self._seen[kind] >= size:
                os.ftruncate(file, 0)
                size = self._seen[kind] = 0
            self._begin[kind] = size

    def _text(self, kind: str) -> str:
        file = self._output[kind]
        size = os.fstat(file).st_size
        start = max(self._begin[kind], size - KEPT_OUTPUT)
        if start == size:
            return ""
        return encodable(os.pread(file, size - start, start).decode("utf-8", "backslashreplace"))


def note_phase(file: int, phase: str, key: str) -> None:
    """Write a phase, and for a load the key of the container fixture, to the file that says it."""
    os.pwrite(file, f"{phase} {key}".ljust(256).encode(), 0)
