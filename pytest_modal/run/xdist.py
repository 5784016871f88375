"""One batch for all workers of pytest-xdist: the first that needs it runs it, the others read its results.

Nothing of this is used in a run without workers.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from pytest_modal._pytest_compat import start_line
from pytest_modal.batch.calls import Batch
from pytest_modal.store.scratch import PREFIX, hold
from pytest_modal.wording import three_parts

if TYPE_CHECKING:
    from pytest_modal.store.results import Results

_KEY = "pytest_modal"
_POLL_INTERVAL = 0.1  # seconds
_CONTROLLER = "pytest_modal_controller"


class Shared:
    """The directory that the workers of one run have in common.

    Parameters
    ----------
    directory : Path
        Made by the first worker that has something to put there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held: int | None = None

    @property
    def progress(self) -> Path:
        """The file with the progress of the running batch, one line per event."""
        return self.directory / "progress"

    @property
    def outcomes(self) -> Path:
        """The directory of the results."""
        return self.directory / "outcomes"

    def hold(self) -> None:
        """Keep other runs from deleting the directory while this process lives, once it is there."""
        if self._held is None and self.directory.is_dir():
            self._held = hold(self.directory)

    def delete(self) -> None:
        """Delete the directory with all that is in it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other worker runs the batch. The lock of a worker that dies is released."""
        from filelock import FileLock

        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.hold()
        with FileLock(self.directory / "lock"):
            yield


class ProgressFile:
    """A screen for a worker, which has none: the controller shows the lines.

    It has the one method of pytest's terminal reporter that is used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write_line(self, line: str, **markup: bool) -> None:
        """Pass a line on."""
        # A display ends no batch: not on a full disk either.
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8") as stream:
            stream.write(line.replace("\n", " ") + "\n")


class ControllerHooks:
    """Registered on the controller of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self.shared = Shared(Path(tempfile.gettempdir(), f"{PREFIX}{secrets.token_hex(8)}"))
        self._screen = config.pluginmanager.get_plugin("terminalreporter")
        self._ended = threading.Event()
        self._results: Results | None = None
        self._watcher = threading.Thread(target=self._watch, name="pytest-modal progress", daemon=True)
        self._watcher.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        spec = node.gateway.spec
        local = bool(spec.popen) and not (spec.ssh or spec.socket or spec.via)
        node.workerinput[_KEY] = {"directory": str(self.shared.directory) if local else "", "spec": str(spec)}

    def pytest_sessionfinish(self) -> None:
        # The watcher shows the last lines and ends.
        self._ended.set()
        self._watcher.join()

    def results(self) -> Results | None:
        """Return what the workers have left, if they ran a batch."""
        if self._results is not None:
            return self._results
        if not self.shared.outcomes.is_dir():
            return None
        from pytest_modal.store.results import Results

        results = Results("", Batch(), self.shared.outcomes)
        if not results.load():
            return None
        if self._ended.is_set():  # nothing is added any more
            self._results = results
        return results

    def pytest_unconfigure(self) -> None:
        self.shared.delete()

    def _watch(self) -> None:
        if self._screen is None:
            return
        stream: IO[str] | None = None
        with contextlib.ExitStack() as stack:
            while True:
                ended = self._ended.wait(_POLL_INTERVAL)
                self.shared.hold()
                if stream is None and self.shared.progress.exists():
                    stream = stack.enter_context(self.shared.progress.open(encoding="utf-8"))
                if stream is not None:
                    _pass_on(stream, self._screen)
                if ended:
                    return


def _pass_on(stream: IO[str], screen: Any) -> None:
    for line in stream:
        start_line(screen)
        screen.write_line(line.rstrip("\n"))


def shared_by_workers(config: pytest.Config) -> Shared | None:
    """Return what this worker shares with the others; None where there are none.

    Raises
    ------
    pytest.UsageError
        The workers are on several machines.
    """
    given = getattr(config, "workerinput", {}).get(_KEY)
    if given is None:
        return None
    if not given["directory"]:
        what = "the workers of pytest-xdist run on other machines, so they can't share one batch of GPU calls"
        remedy = "run the GPU tests with workers on this machine (-n 4): they only wait for results"
        raise pytest.UsageError(three_parts(what, f"--tx {given['spec']}", remedy))
    return Shared(Path(given["directory"]))


def without_workers(config: pytest.Config) -> None:
    """Let this process collect the tests itself, before pytest-xdist starts workers for it: none of them will run."""
    if getattr(config.option, "dist", "no") != "no":
        config.option.dist, config.option.tx, config.option.numprocesses = "no", [], 0


def watch_workers(config: pytest.Config) -> None:
    """Have the workers of this run share one batch, and show what it reports."""
    config.pluginmanager.register(ControllerHooks(config), _CONTROLLER)


def controller_of(config: pytest.Config) -> ControllerHooks | None:
    """Return what watches the workers of this run; None where there are none, and in a worker."""
    return config.pluginmanager.get_plugin(_CONTROLLER)


def results_of_all(config: pytest.Config) -> Results | None:
    """Return what the run has computed, in whichever process."""
    from pytest_modal.plan.state import results_of

    controller = controller_of(config)
    return results_of(config) if controller is None else controller.results()
