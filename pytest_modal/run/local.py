"""Local mock mode: the same batch in fresh worker processes on this machine.

One process per environment, in an empty directory and with what a container would have, see
`pytest_modal.run.isolation`: what would break in a container breaks here.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.cost import Used
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.declare.settings import LocalOptions
from pytest_modal.remote.child import Child
from pytest_modal.remote.children import WORKER
from pytest_modal.remote.framing import Teardown
from pytest_modal.remote.starting import Started
from pytest_modal.remote.supervisor import Supervisor
from pytest_modal.run.bundle import unpack
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.isolation import Isolation
from pytest_modal.run.printed import Lines
from pytest_modal.run.protocol import Result
from pytest_modal.run.staging import stage
from pytest_modal.store.scratch import temporary_directory


class LocalBackend:
    """Runs batches in worker processes.

    Parameters
    ----------
    rootdir : Path
        The project, which the workers must not see.
    options : LocalOptions
        Settings of local mock mode.
    stream : bool
        Whether what functions print is reported while they run.
    """

    mode = "local"
    apps = ()
    cost = None
    notes = events = ()

    def __init__(self, rootdir: Path, options: LocalOptions, *, stream: bool = False) -> None:
        self._rootdir = rootdir
        self._options = options
        self._stream = stream
        self._started = 0
        self.teardowns: list[Teardown] = []
        self.containers: list[Used] = []
        self._running: dict[str, int] = {}  # of each environment, which of them is its process now

    def describe(self) -> str:
        """Return where the batch will run."""
        without = "" if self._options.isolation else ", without isolation (modal_local_isolation = off)"
        return f"local mock mode, on this machine{without}"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls one after the other; see `Backend.run`."""
        dispatch = Dispatch(batch, results)
        positions = {call.key: position for position, call in enumerate(batch.calls)}
        waiting = [call.environment.key for call in batch.calls]
        isolation = Isolation(batch, self._rootdir, self._options)
        supervisors: dict[str, Supervisor] = {}
        with temporary_directory() as scratch:
            folder = scratch / WORKER
            unpack(folder)
            try:
                for call in batch.calls:
                    environment = call.environment
                    if environment.key not in supervisors:
                        start = functools.partial(self._start, folder, environment, isolation)
                        supervisors[environment.key] = Supervisor(start)
                    supervisor = supervisors[environment.key]
                    blocked = dispatch.blocked(call)
                    outcome, value = (blocked, b"") if blocked else self._run(call, dispatch, supervisor, progress)
                    waiting.remove(environment.key)
                    dispatch.finished(call, outcome)
                    yield outcome, [value]
                    supervisor.release(positions[call.key], environment.timeout)
                    if environment.key not in waiting:
                        supervisor.stop()
                        self._ended(environment)
                    self.teardowns += supervisor.teardowns(0)
            finally:
                for supervisor in supervisors.values():
                    supervisor.close()
                for each in batch.environments:
                    self._ended(each)

    def _ended(self, environment: Environment) -> None:
        """Note that the process of an environment has ended, if one runs."""
        if (number := self._running.pop(environment.key, None)) is not None:
            began, now = self.containers[number].started or 0.0, time.time()
            self.containers[number] = replace(self.containers[number], ended=now, seconds=max(0.0, now - began))

    def _start(self, folder: Path, environment: Environment, isolation: Isolation) -> Child:
        self._started += 1
        name = f"local-{self._started}"
        self._ended(environment)
        self._running[environment.key] = len(self.containers)
        self.containers.append(Used(name, str(environment), "", 0.0, None, time.time()))
        directory = folder.parent / name
        work, packages = directory / "work", directory / "packages"
        for each in (work, packages):
            each.mkdir(parents=True)
        stage(isolation.packages(environment), packages)
        start = (
            "import sys; sys.path.insert(0, sys.argv[1]); from pytest_modal.remote.local_worker import main; "
            "main(*sys.argv[2:])"
        )
        command = [sys.executable, "-P", "-X", "faulthandler", "-c", start, str(folder)]
        # PYTHONPATH usually names local code, which a container does not have.
        own = {"PYTHONPATH": str(packages), "PYTHONUNBUFFERED": "1"}
        variables = isolation.variables(environment) | own | dict(environment.env)
        child = Child(Started(name, directory, command, cwd=work, env=variables))
        # What the limits are is found out while the interpreter starts.
        child.tell(isolation.limits(environment, folder.parent))
        return child

    def _run(
        self, call: Call, dispatch: Dispatch, supervisor: Supervisor, progress: Callable[[Progress], None]
    ) -> tuple[Outcome, bytes]:
        watcher = _Watcher(call, dispatch.labels(call), supervisor, progress, stream=self._stream)
        environment = call.environment
        progress(Progress("running", call.label, kind="call", container="local", key=call.key))
        ask = functools.partial(dispatch.request, call)
        reply, value = supervisor.run(ask, environment.timeout, environment.retries, watcher)
        watcher.end()
        return dispatch.outcome(call, reply), value


class _Watcher:
    """Shows what a call does and, line by line, what it prints."""

    def __init__(
        self,
        call: Call,
        labels: dict[str, str],
        supervisor: Supervisor,
        progress: Callable[[Progress], None],
        *,
        stream: bool,
    ) -> None:
        self._call, self._labels = call, labels
        self._supervisor = supervisor
        self._progress = progress
        self._stream = stream
        self._lines = {"stdout": Lines(), "stderr": Lines()}

    def phase(self, phase: str, key: str) -> None:
        """Show the phase."""
        if phase == "again":
            self.end()
        self.look()
        what = {"load": "loading", "again": "crashed, trying again:"}.get(phase, "running")
        kind: Literal["load", "call"] = "load" if phase == "load" else "call"
        label, again = self._labels.get(key, self._call.label), phase == "again"
        self._progress(Progress(what, label, stays=again, kind=kind, container="local", key=self._call.key))

    def look(self) -> None:
        """Show the lines that have come since the last time."""
        if self._stream:
            for kind, piece in self._supervisor.news():
                self._show(self._lines[kind].add(piece))

    def end(self) -> None:
        """Show what is there of a last line that has no end."""
        self.look()
        if self._stream:
            for lines in self._lines.values():
                self._show(lines.rest())

    def _show(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._progress(Progress("printed", self._call.label, line))
