"""Signals that end a run: what was started is ended, and what was written for the run only is deleted."""

from __future__ import annotations

import functools
import signal
import threading
import types

import pytest

# Those by which a system, a supervisor or a closed terminal ends a process. Python itself handles Ctrl-C.
_NAMES = ("SIGTERM", "SIGHUP")


class Terminated(KeyboardInterrupt):
    """The process was told to end; pytest ends the run as after Ctrl-C."""


class SignalHooks:
    """Registered where GPU functions may run: other suites keep what Python does."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_worker = hasattr(config, "workerinput")
        self._received = 0

    def watch(self, config: pytest.Config) -> None:
        """Handle the signals until the end of the run, where nobody else does."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._end)
                config.add_cleanup(functools.partial(_restore, number))

    def _end(self, number: int, frame: types.FrameType | None) -> None:
        self._received = number
        # The second one ends the process at once.
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(signal.Signals(number).name)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._received and not self._is_worker:
            session.exitstatus = 128 + self._received  # as a shell says it


def _restore(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)


def watch_signals(config: pytest.Config) -> None:
    """End the run in good order when the process is told to end."""
    if not config.pluginmanager.has_plugin("pytest_modal_signals"):
        hooks = SignalHooks(config)
        config.pluginmanager.register(hooks, "pytest_modal_signals")
        hooks.watch(config)
