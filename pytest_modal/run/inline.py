"""Local mock mode in pytest's own process, one call at a time, for debugging: ``pytest --modal-inline``.

Nothing stands between a function and the terminal: ``breakpoint()`` stops in it, and ``--pdb`` goes to the line that
raised. Nothing is isolated either: a crash takes pytest along, no time limit holds, local modules can be imported.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from collections.abc import Callable, Iterator

import pytest

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.plan.state import raised_inline
from pytest_modal.remote import debugger
from pytest_modal.remote.framing import Buffers, Teardown
from pytest_modal.remote.worker import Worker
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.protocol import Result


class InlineBackend:
    """Runs batches in this process.

    Parameters
    ----------
    config : pytest.Config
        Its terminal is the functions', and its tests get the exceptions themselves.
    """

    mode = "local"
    apps = ()
    cost = None
    notes = containers = events = ()

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.teardowns: list[Teardown] = []
        # A worker of pytest-xdist has no terminal.
        self._in_worker = hasattr(config, "workerinput")

    def describe(self) -> str:
        """Say where the batch will run."""
        more = " (breakpoint() and --pdb need -n0)" if self._in_worker else ""
        return f"local mock mode, inline: in this process, without isolation{more}"

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the calls one after the other; see `Backend.run`."""
        dispatch = Dispatch(batch, results)
        waiting = [call.environment.key for call in batch.calls]
        workers: dict[str, _InlineWorker] = {}
        try:
            for position, call in enumerate(batch.calls):
                blocked, value = dispatch.blocked(call), Buffers()
                if blocked is not None:
                    outcome = blocked
                else:
                    if call.environment.key not in workers:
                        workers[call.environment.key] = _InlineWorker(call.environment, self._raised)
                    with self._terminal():
                        outcome, value = workers[call.environment.key].call(call, dispatch, progress)
                waiting.remove(call.environment.key)
                dispatch.finished(call, outcome)
                yield outcome, value
                if worker := workers.get(call.environment.key):
                    with self._terminal():
                        self.teardowns += worker.release(position if call.environment.key in waiting else None)
        finally:
            # Ctrl-C and the `q` of pdb end here too: what follows a `yield` still runs.
            for worker in workers.values():
                self.teardowns += worker.release()

    def _raised(self, key: str, error: BaseException) -> None:
        if not self._in_worker:
            raised_inline(self._config)[key] = error, _of_function(error.__traceback__)

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[None]:
        """Hand the terminal to a function, its input included."""
        hook, debugged = sys.breakpointhook, _AfterPdb(self._suspend_capture)
        self._suspend_capture()
        self._config.pluginmanager.register(debugged)
        if self._in_worker:
            debugger.refuse_breakpoints("a worker of pytest-xdist has no terminal", f"{debugger.INLINE} -n0")
        try:
            yield
        finally:
            sys.breakpointhook = hook
            self._config.pluginmanager.unregister(debugged)

    def _suspend_capture(self) -> None:
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)


class _AfterPdb:
    """Keeps the terminal open when pdb continues: pytest would capture what comes then, as in a test."""

    def __init__(self, suspend_capture: Callable[[], None]) -> None:
        self._suspend_capture = suspend_capture

    def pytest_leave_pdb(self) -> None:
        self._suspend_capture()


class _InlineWorker:
    """The worker of one environment."""

    def __init__(self, environment: Environment, raised: Callable[[str, BaseException], None]) -> None:
        self._variables = dict(environment.env)
        self._notify: Callable[[str, str], None] = lambda phase, key: None
        # What the worker finds is what each of its calls begins with.
        with _variables(self._variables):
            self._worker = Worker(
                "inline",
                lambda phase, key: self._notify(phase, key),
                # Ctrl-C is the user's here, and so is leaving the debugger.
                lambda error: isinstance(error, KeyboardInterrupt | pytest.exit.Exception),
                raised=raised,
                capture=False,
            )

    def call(self, call: Call, dispatch: Dispatch, progress: Callable[[Progress], None]) -> tuple[Outcome, Buffers]:
        labels = dispatch.labels(call)

        def notify(phase: str, key: str) -> None:
            what, label = "loading" if key else "running", labels.get(key, call.label)
            progress(Progress(what, label, kind="load" if key else "call", container="inline", key=call.key))

        self._notify = notify
        attempts = 0
        while True:
            attempts += 1
            for node in (*dispatch.containers(call), call):
                assert node.function.body is not None
                self._worker.adopt(node.function.key, node.function.body)
            with _variables(self._variables):
                reply, value = self._worker.handle(dispatch.request(call, known=()))
            outcome = dispatch.outcome(call, reply)
            outcome.attempts = attempts
            if outcome.status != "raised" or outcome.container_key or attempts > call.environment.retries:
                return outcome, value

    def release(self, position: int | None = None) -> list[Teardown]:
        """Release the container fixtures that no call after a position needs; without one all of them."""
        with _variables(self._variables):
            return self._worker.release_all() if position is None else self._worker.release(position)


@contextlib.contextmanager
def _variables(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _of_function(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Return a traceback from the function on: the debugger and the report begin where the user's code does."""
    while trace is not None and trace.tb_next is not None and _is_ours(trace.tb_frame):
        trace = trace.tb_next
    return trace


def _is_ours(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("pytest_modal.")
