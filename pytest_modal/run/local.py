"""Local mock mode: the same batch in fresh worker processes on this machine.

One process per environment, without the project on its path and in an empty directory, so that what would
break in a container breaks here.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.code.local_packages import files_of
from pytest_modal.code.shipping import ShippingError
from pytest_modal.remote.child import Child
from pytest_modal.remote.supervisor import Supervisor
from pytest_modal.run.bundle import bundle
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.printed import Lines
from pytest_modal.run.protocol import Result
from pytest_modal.wording import three_parts


class LocalBackend:
    """Runs batches in worker processes.

    Parameters
    ----------
    rootdir : Path
        The project, which the workers must not see.
    stream : bool
        Whether what functions print is reported while they run.
    """

    mode = "local"
    app_id = dashboard_url = None
    notes = ()

    def __init__(self, rootdir: Path, *, stream: bool = False) -> None:
        self._rootdir = rootdir
        self._stream = stream
        self._started = 0

    def describe(self) -> str:
        """Return where the batch will run."""
        return "local mock mode, on this machine"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls one after the other; see `Backend.run`."""
        dispatch = Dispatch(batch, results)
        waiting = [call.environment.key for call in batch.calls]
        supervisors: dict[str, Supervisor] = {}
        with tempfile.TemporaryDirectory(prefix="pytest-modal-", ignore_cleanup_errors=True) as scratch:
            archive = Path(scratch, "worker.zip")
            archive.write_bytes(bundle())
            try:
                for call in batch.calls:
                    environment = call.environment
                    if environment.key not in supervisors:
                        start = functools.partial(self._start, archive, environment)
                        supervisors[environment.key] = Supervisor(start)
                    supervisor = supervisors[environment.key]
                    blocked = dispatch.blocked(call)
                    outcome, value = (blocked, b"") if blocked else self._run(call, dispatch, supervisor, progress)
                    waiting.remove(environment.key)
                    if environment.key not in waiting:
                        outcome.teardown_errors += supervisor.stop()
                    dispatch.finished(call, outcome)
                    yield outcome, [value]
            finally:
                for supervisor in supervisors.values():
                    supervisor.close()

    def _start(self, archive: Path, environment: Environment) -> Child:
        self._started += 1
        name = f"local-{self._started}"
        directory = archive.parent / name
        work, packages = directory / "work", directory / "packages"
        for each in (work, packages):
            each.mkdir(parents=True)
        for package in environment.local_packages:
            _copy_files(package, packages)
        start = (
            "import sys; sys.path.insert(0, sys.argv[1]); from pytest_modal.remote.local_worker import main; "
            "main(sys.argv[2:-2], *sys.argv[-2:])"
        )
        forbidden = [os.path.realpath(self._rootdir), os.path.realpath(Path.cwd())]
        command = [sys.executable, "-P", "-X", "faulthandler", "-c", start, str(archive), *dict.fromkeys(forbidden)]
        return Child(name, directory, command, cwd=work, env=_environment(environment, packages))

    def _run(
        self, call: Call, dispatch: Dispatch, supervisor: Supervisor, progress: Callable[[Progress], None]
    ) -> tuple[Outcome, bytes]:
        watcher = _Watcher(call, dispatch.labels(call), supervisor, progress, stream=self._stream)
        environment = call.environment
        progress(Progress("running", call.label))
        ask = functools.partial(dispatch.request, call)
        reply, value = supervisor.run(ask, environment.timeout, environment.retries, watcher)
        watcher.end()
        if reply["status"] == "missing":
            raise RuntimeError(f"{call.label} lacks what it was sent")
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
        self._progress(Progress(what, self._labels.get(key, self._call.label)))

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


def _environment(environment: Environment, packages: Path) -> dict[str, str]:
    # PYTHONPATH usually names local code. A container has none of it, and nothing that measures coverage.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "COV_CORE_"))}
    return inherited | {"PYTHONPATH": str(packages), "PYTHONUNBUFFERED": "1"} | dict(environment.env)


def _copy_files(package: str, target: Path) -> None:
    """Copy the files of a local package, as Modal ships them."""
    files = files_of(package)
    if files is None:
        what = f"the local package {package!r} can't be imported on this machine"
        remedy = "use the import name of a package that can be imported"
        raise ShippingError(three_parts(what, f'local_packages=["{package}"]', remedy))
    for place, path in files:
        copy = target / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
