"""A worker process: started, given calls, watched, killed; by local mock mode and, in a container, by the supervisor.

Standard library only; it travels beside `pytest_modal.remote.local_worker`, which is what the process runs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Protocol, cast

from pytest_modal.remote.framing import CallRequest, Ended, Missing, Reply, Teardown
from pytest_modal.remote.keeper import END_TIMEOUT, end
from pytest_modal.remote.pipes import Pipes
from pytest_modal.remote.starting import Started
from pytest_modal.remote.streams import KEPT_OUTPUT, encodable

START_TIMEOUT = 120.0  # seconds for an interpreter to start; far beyond what a loaded machine needs
TEARDOWN_TIMEOUT = 30.0  # seconds at most for the code after the `yield` of container fixtures
_START = "start", ""
_SEND = "send", ""
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
    started : Started
        The process.

    Attributes
    ----------
    used : bool
        Whether it was given a call.
    known : set of str
        Functions, texts of modules and container fixtures that the process has: their blobs aren't sent again.
    """

    def __init__(self, started: Started) -> None:
        self.name = started.name
        self.used = False
        self.known: set[str] = set()
        self._phase_file, self._output, self._popen = started.phase, started.output, started.process
        self._begin = dict.fromkeys(self._output, 0)  # of what the running call prints
        self._seen = dict.fromkeys(self._output, 0)
        self._pipes = Pipes(self._popen)
        self._told = _START
        self._ready = False
        self._closed = False
        self._until: dict[str, int] = {}  # of each container fixture that it has, the position of the last user
        self._teardown: tuple[float, float] | None = None  # the limit and the deadline of one that runs

    @property
    def alive(self) -> bool:
        """Whether the process runs, and its pipe is open."""
        return self._popen.poll() is None and not self._pipes.ended

    def tell(self, message: object) -> None:
        """Send what the process expects before any call; that it failed to start is noticed with the first one."""
        self._pipes.send(message, time.monotonic() + START_TIMEOUT)

    def run(self, request: CallRequest, timeout: float, watcher: Watcher) -> tuple[Reply | Missing, bytes]:
        """Run one call; whatever becomes of it is its reply.

        Parameters
        ----------
        request : CallRequest
            With the blobs that this process lacks.
        timeout : float
            Seconds from the moment at which the process has the call, loading its container fixtures included; and
            for the process to take it.
        """
        self.used = True
        self._forget_output()
        self._told = _SEND if self._ready else _START
        note_phase(self._phase_file, *self._told)
        began = time.monotonic()
        deadline, limit = began + START_TIMEOUT, START_TIMEOUT
        if self._ready:
            deadline, limit = self._send(request, timeout) + timeout, timeout
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
                    deadline, limit = self._send(request, timeout) + timeout, timeout
                elif "event" in header:
                    self._tell((header["event"], header["key"]), watcher)
                elif header["status"] == "missing":
                    self.known.clear()
                    missing: Missing = header
                    return missing, b""
                else:
                    reply: Reply = header
                    loaded = {load["key"] for load in reply["loads"]}
                    self.known |= loaded
                    self._until |= {spec["key"]: spec["until"] for spec in request["containers"]}
                    reply["stdout"], reply["stderr"] = (self._text(kind) for kind in self._output)
                    if reply["poisoned"]:
                        self.kill()
                    return reply, value
        finally:
            watcher.look()

    def release(self, position: int, seconds: float) -> None:
        """Have the code after the ``yield`` run of those container fixtures that no later call needs.

        What became of it is the answer of `released`.

        Parameters
        ----------
        position : int
            Of the last call that has ended.
        seconds : float
            How long it may take.
        """
        done = [key for key, until in self._until.items() if until <= position]
        for key in done:
            del self._until[key]
            self.known.discard(key)
        if done and self.alive:
            deadline = time.monotonic() + seconds
            self._teardown = seconds, deadline
            self._pipes.send({"release": position}, deadline)

    def released(self, seconds: float = TEARDOWN_TIMEOUT) -> list[Teardown]:
        """Return what went wrong after the ``yield`` of container fixtures, which may take no longer than allowed.

        Parameters
        ----------
        seconds : float
            How long to wait for it; what takes longer can be awaited again.
        """
        if self._teardown is None:
            return []
        limit, deadline = self._teardown
        until = time.monotonic() + seconds
        message = self._next(min(until, deadline))
        while message is not None and message[0].get("event") != "released":
            message = self._next(min(until, deadline))
        if message is not None:
            self._teardown = None
            return cast(list[Teardown], message[0]["teardowns"])
        if self.alive and time.monotonic() < deadline:
            return []
        self._teardown = None
        ended: Ended = {"limit": limit} if self.alive else {"exit_status": self._status()}
        phase, key = self._phase()
        self.kill()
        return [{"container_key": key, "ended": ended}] if phase == "teardown" else []

    @property
    def tears_down(self) -> str:
        """The container fixture after whose ``yield`` code runs, by its key; empty if none does."""
        phase, key = self._phase() if self._teardown is not None and self.alive else ("", "")
        return key if phase == "teardown" else ""

    def news(self) -> Iterator[tuple[str, bytes]]:
        """Yield what was printed since the last time, by stream."""
        for kind, file in () if self._closed else self._output.items():
            while piece := os.pread(file, 1 << 20, self._seen[kind]):
                self._seen[kind] += len(piece)
                yield kind, piece

    def interrupt(self, seconds: float) -> None:
        """Have the running call end by a KeyboardInterrupt; the process is killed if it takes longer than this."""
        deadline = time.monotonic() + seconds
        if self._ready and self._pipes.send({"interrupt": True}, deadline):
            while (message := self._next(deadline)) is not None:
                if message[0].get("event") == "interrupted":
                    return
        self.kill()

    def stop(self, seconds: float = TEARDOWN_TIMEOUT) -> list[Teardown]:
        """Shut the process down; return what went wrong after the ``yield`` of its container fixtures."""
        teardowns = self.released()
        if self.alive and self._ready:
            self._teardown = seconds, time.monotonic() + seconds
            note_phase(self._phase_file, *_START)
            self._pipes.send({"stop": True}, self._teardown[1])
            teardowns += self.released(seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(END_TIMEOUT)
        self.kill()
        return teardowns

    def kill(self) -> None:
        """End the process and everything that it started; what it printed can still be read."""
        end(self._popen)
        self._pipes.close()

    def close(self) -> None:
        """Kill the process, and close the files of its output."""
        if not self._closed:
            self.kill()
            self._closed = True
            for file in (*self._output.values(), self._phase_file):
                os.close(file)

    def _next(self, deadline: float, watcher: Watcher | None = None) -> tuple[Any, bytes] | None:
        """Return the next message; None when there is none until the deadline, or the process has ended."""

        def look() -> None:
            if watcher is not None:
                self._tell(self._phase(), watcher)
                watcher.look()

        return self._pipes.receive(deadline, look)

    def _status(self) -> int:
        # Its pipe is at its end: the process has ended, or a call has closed what it doesn't know.
        try:
            return self._popen.wait(timeout=END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.poll() or 0

    def _tell(self, phase: tuple[str, str], watcher: Watcher) -> None:
        if phase != self._told:
            self._told = phase
            watcher.phase(*phase)

    def _phase(self) -> tuple[str, str]:
        phase, _, key = os.pread(self._phase_file, 256, 0).decode().partition(" ")
        return phase, key.strip()

    def _send(self, request: CallRequest, seconds: float) -> float:
        """Send a request, and return when it was taken: from then on its time runs; at once, where it wasn't."""
        began = time.monotonic()
        # A process that dies meanwhile closes its pipe, which is seen when its reply is read.
        if not self._pipes.send(request, began + seconds):
            return began
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
            "seconds": seconds,
            "device": "",
            "given": "",
            "poisoned": False,
            "ended": ended,
            "started": time.time() - seconds,
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
