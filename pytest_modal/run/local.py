"""Local mock mode: the same batch in fresh worker processes on this machine.

One process per environment, in an empty directory and with what a container would have, see
`pytest_modal.run.isolation`: what would break in a container breaks here.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.declare.settings import LocalOptions
from pytest_modal.remote.framing import read_message, write_message
from pytest_modal.remote.streams import KEPT_OUTPUT, encodable
from pytest_modal.run.bundle import bundle
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.endings import ending
from pytest_modal.run.isolation import Isolation
from pytest_modal.run.printed import Lines
from pytest_modal.run.protocol import Result
from pytest_modal.run.staging import stage

START_TIMEOUT = 120.0  # seconds for an interpreter to start; far beyond what a loaded machine needs
STREAM_INTERVAL = 0.1  # seconds between two looks at what a call prints
STOP_TIMEOUT = 30.0  # seconds for the code after the `yield` of the last container fixtures


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
    app_id = dashboard_url = None
    notes = ()

    def __init__(self, rootdir: Path, options: LocalOptions, *, stream: bool = False) -> None:
        self._rootdir = rootdir
        self._options = options
        self._stream = stream
        self._started = 0

    def describe(self) -> str:
        """Return where the batch will run."""
        without = "" if self._options.isolation else ", without isolation (modal_local_isolation = off)"
        return f"local mock mode, on this machine{without}"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls one after the other; see `Backend.run`."""
        dispatch = Dispatch(batch, results)
        waiting = [call.environment.key for call in batch.calls]
        isolation = Isolation(batch, self._rootdir, self._options)
        processes: dict[str, _Process] = {}
        with tempfile.TemporaryDirectory(prefix="pytest-modal-", ignore_cleanup_errors=True) as scratch:
            archive = Path(scratch, "worker.zip")
            archive.write_bytes(bundle())

            def process_for(environment: Environment) -> _Process:
                process = processes.get(environment.key)
                if process is None or not process.alive:
                    self._started += 1
                    process = _Process(f"local-{self._started}", archive, environment, isolation, self._stream)
                    processes[environment.key] = process
                return process

            try:
                for call in batch.calls:
                    blocked = dispatch.blocked(call)
                    outcome, value = (blocked, b"") if blocked else _run(call, dispatch, process_for, progress)
                    waiting.remove(call.environment.key)
                    if call.environment.key not in waiting and (last := processes.get(call.environment.key)):
                        outcome.teardown_errors += last.stop()
                    dispatch.finished(call, outcome)
                    yield outcome, [value]
            finally:
                for process in processes.values():
                    process.kill()


def _run(
    call: Call,
    dispatch: Dispatch,
    process_for: Callable[[Environment], _Process],
    progress: Callable[[Progress], None],
) -> tuple[Outcome, bytes]:
    attempts = 0
    fallen: list[str] = []
    while True:
        attempts += 1
        process = process_for(call.environment)
        outcome, value = process.call(call, dispatch, progress)
        outcome.attempts, outcome.fallen = attempts, fallen
        if outcome.status == "crashed" and not fallen:
            # A process can be killed for what earlier calls left in it: the call is tried again in its own process.
            fallen.append(process.name)
            progress(Progress("crashed, trying again:", call.label))
        elif outcome.status != "raised" or outcome.container_key or attempts > call.environment.retries:
            return outcome, value


class _Process:
    """A worker process and the pipes to it."""

    def __init__(self, name: str, archive: Path, environment: Environment, isolation: Isolation, stream: bool) -> None:
        self.name = name
        self._stream = stream
        self._known: set[str] = set()
        self._directory = archive.parent / name
        work, packages = self._directory / "work", self._directory / "packages"
        for directory in (work, packages):
            directory.mkdir(parents=True)
        stage(isolation.packages(environment), packages)
        self._output = {kind: self._directory / kind for kind in ("stdout", "stderr")}
        for path in self._output.values():
            path.touch()
        start = (
            "import sys; sys.path.insert(0, sys.argv[1]); from pytest_modal.remote.local_worker import main; "
            "main(sys.argv[2], sys.argv[3])"
        )
        command = [sys.executable, "-P", "-X", "faulthandler", "-c", start]
        command += [str(archive), name, str(self._output["stdout"])]
        # PYTHONPATH usually names local code, which a container does not have.
        own = {"PYTHONPATH": str(packages), "PYTHONUNBUFFERED": "1"}
        with self._output["stderr"].open("wb") as stderr:
            self._popen = subprocess.Popen(
                command,
                cwd=work,
                env=isolation.variables(environment) | own | dict(environment.env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # pytest handles Ctrl-C: it must not reach the worker first.
                start_new_session=True,
            )
        self._stdin = cast(IO[bytes], self._popen.stdin)
        self._stdout = cast(IO[bytes], self._popen.stdout)
        self._inbox: queue.SimpleQueue[tuple[Any, bytes] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self._ready = False
        # What the limits are is found out while the interpreter starts; one that fails to start is reported later.
        limits = isolation.limits(environment, archive.parent)
        with contextlib.suppress(OSError):
            write_message(self._stdin, limits)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def call(self, call: Call, dispatch: Dispatch, progress: Callable[[Progress], None]) -> tuple[Outcome, bytes]:
        """Run one call and wait for its outcome, whatever it is."""
        offsets = {kind: path.stat().st_size for kind, path in self._output.items()}
        printed = _Printed(self._output, offsets, lambda line: progress(Progress("printed", call.label, line)))
        try:
            return self._call(call, dispatch, progress, offsets, printed)
        finally:
            if self._stream:
                printed.show()
                printed.end()

    def _call(
        self,
        call: Call,
        dispatch: Dispatch,
        progress: Callable[[Progress], None],
        offsets: dict[str, int],
        printed: _Printed,
    ) -> tuple[Outcome, bytes]:
        labels, began = dispatch.labels(call), time.monotonic()
        deadline = time.monotonic() + START_TIMEOUT
        phase, container_key = "start", ""
        if self._ready:
            deadline = self._send(call, dispatch)
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                message = self._inbox.get(timeout=min(left, STREAM_INTERVAL) if self._stream else left)
            except queue.Empty:
                if self._stream:
                    printed.show()
                    if left > STREAM_INTERVAL:
                        continue
                self.kill()
                limit = call.environment.timeout if self._ready else START_TIMEOUT
                outcome = Outcome(call.key, "timed out", seconds=limit, phase=phase, error={"limit": limit})
                break
            if message is None:
                seconds, told = time.monotonic() - began, {"message": self._epitaph()}
                outcome = Outcome(call.key, "crashed", seconds=seconds, phase=phase, error=told)
                break
            header, value = message
            if header.get("event") == "ready":
                self._ready = True
                deadline = self._send(call, dispatch)
            elif "event" in header:
                if self._stream:
                    printed.show()
                container_key = header["key"]
                phase = f"load {labels[container_key]}" if container_key else header["event"]
                progress(Progress("loading" if container_key else "running", labels.get(container_key, call.label)))
            elif header["status"] == "missing":
                self._known.clear()
                self._send(call, dispatch)
            else:
                outcome = dispatch.outcome(call, header)
                self._known |= {load.key for load in outcome.loads}
                if header["poisoned"]:
                    self.kill()
                outcome.stdout, outcome.stderr = (self._since(kind, offsets[kind]) for kind in self._output)
                return outcome, value
        outcome.container, outcome.container_key = self.name, container_key or None
        outcome.stdout, outcome.stderr = (self._since(kind, offsets[kind]) for kind in self._output)
        return outcome, b""

    def stop(self) -> list[dict[str, Any]]:
        """Shut the process down; return what went wrong in the teardown of container fixtures."""
        errors: list[dict[str, Any]] = []
        if self.alive and self._ready:
            with contextlib.suppress(queue.Empty, OSError):
                write_message(self._stdin, {"stop": True})
                while (message := self._inbox.get(timeout=STOP_TIMEOUT)) is not None:
                    errors += message[0].get("teardown_errors", [])
        self.kill()
        return errors

    def kill(self) -> None:
        """End the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._reader.join()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, call: Call, dispatch: Dispatch) -> float:
        request = dispatch.request(call, self._known)
        # A process that dies meanwhile closes its pipe, which the reader reports.
        with contextlib.suppress(OSError):
            write_message(self._stdin, request)
        for spec in [request["call"], *request["containers"]]:
            self._known |= {spec["function"], *spec["modules"]}
        return time.monotonic() + call.environment.timeout

    def _listen(self) -> None:
        message: tuple[Any, bytes] | None = None
        with contextlib.suppress(OSError, ValueError):
            while (message := read_message(self._stdout)) is not None:
                self._inbox.put(message)
        self._inbox.put(None)

    def _epitaph(self) -> str:
        status = self._popen.wait()
        self.kill()
        return ending("the worker process", status)

    def _since(self, kind: str, offset: int) -> str:
        with self._output[kind].open("rb") as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(offset, size - KEPT_OUTPUT))
            return encodable(output.read().decode("utf-8", "backslashreplace"))


class _Printed:
    """What a call prints, read line by line from the files that take it."""

    def __init__(self, files: dict[str, Path], offsets: dict[str, int], show: Callable[[str], None]) -> None:
        self._files, self._offsets, self._show = files, dict(offsets), show
        self._lines = {kind: Lines() for kind in files}

    def show(self) -> None:
        """Show the lines that have come since the last time."""
        for kind, path in self._files.items():
            with path.open("rb") as output:
                output.seek(self._offsets[kind])
                news = output.read()
            self._offsets[kind] += len(news)
            for line in self._lines[kind].add(news):
                self._show(line)

    def end(self) -> None:
        """Show what is there of a last line that has no end."""
        for lines in self._lines.values():
            for line in lines.rest():
                self._show(line)
