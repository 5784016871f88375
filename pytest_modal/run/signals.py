"""Signals that end a run: what was started is ended, and what was written for the run only is deleted."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
import types

import pytest

# Those by which a system, a supervisor or a closed terminal ends a process. Python itself handles Ctrl-C.
_NAMES = ("SIGTERM", "SIGHUP")
TOGETHER = 1.0  # seconds within which signals are one; a later one ends the process at once


class Terminated(KeyboardInterrupt):
    """The process received a signal to end; pytest ends the run as after Ctrl-C."""


class SignalHooks:
    """Registered where GPU functions may run: other suites keep what Python does."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_worker = hasattr(config, "workerinput")
        self._received = 0
        self._since = 0.0

    def watch(self, config: pytest.Config) -> None:
        """Handle the signals until the end of the run, where nobody else does."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._end)
                config.add_cleanup(functools.partial(_restore, number))

    def _end(self, number: int, frame: types.FrameType | None) -> None:
        if not self._received:
            self._received, self._since = number, time.monotonic()
            raise Terminated(signal.Signals(number).name)
        # `timeout` sends its signal twice: to the process, and to the group of the process.
        if time.monotonic() - self._since > TOGETHER:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._received and not self._is_worker:
            session.exitstatus = 128 + self._received  # as shells do


def _restore(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)


def watch_signals(config: pytest.Config) -> None:
    """End the run in good order when the process receives a signal to end."""
    if not config.pluginmanager.has_plugin("pytest_modal_signals"):
        hooks = SignalHooks(config)
        config.pluginmanager.register(hooks, "pytest_modal_signals")
        hooks.watch(config)
