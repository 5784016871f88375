"""The keeper of a worker process: its parent, which ends with it, and ends everything that it has started.

What leaves its process group, or its session, is still a descendant. Linux hands those whose parent has ended to the
keeper, so none is missed. Elsewhere there is no keeper: the process group is ended, and what has left it stays.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

HAS_KEEPER = sys.platform == "linux"
END_TIMEOUT = 5.0  # seconds for processes to end that were killed; one that waits for a driver may never do
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_SET_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


def keep() -> None:
    """Go on in a child, the worker process, whose keeper this process becomes.

    To be called before anything else: with no thread, with the pipe of the requests as standard input.
    """
    if not HAS_KEEPER:
        return
    _prctl(_SET_SUBREAPER, 1)
    keeper = os.getpid()
    worker = os.fork()
    if worker:
        _wait(worker)
    os.setsid()  # what it sends to its own process group doesn't reach the keeper
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a worker process and all that it has started; its standard streams stay open here."""
    if HAS_KEEPER:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2 * END_TIMEOUT)
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process; where a system can't, less is ended with it."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _wait(worker: int) -> NoReturn:
    """Wait for the end of the worker, of the parent, or for the parent's signal; end all the rest, and end alike."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Those who read and write at the other ends see when the worker has ended.
    parent = os.dup(0)
    for file in (0, 1):
        os.close(file)
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(parent, 0)  # its end only: what there is to read is the worker's
    status = None
    while status is None:
        status = _reap(worker)
        if status is None and not _goes_on(poll, woken):
            break
    _end_all()
    _end_as(-signal.SIGKILL if status is None else status)


def _goes_on(poll: select.poll, woken: int) -> bool:
    """Wait for news; return whether the parent wants the worker to go on."""
    ready = [file for file, _ in poll.poll()]
    received = os.read(woken, 4096) if woken in ready else b""
    return ready == [woken] and signal.SIGTERM not in received


def _reap(worker: int) -> int | None:
    """Wait for those that have ended; return the status of the worker if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                found = os.waitstatus_to_exitcode(ended[1])
    return found


def _end_all() -> None:
    """End the children, then their children, which become this process's own, until there are none."""
    deadline = time.monotonic() + END_TIMEOUT
    while time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _children() -> list[int]:
    own, found = os.getpid(), []
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name of a program, in brackets, can hold anything.
                fields = Path("/proc", entry, "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == own:
                    found.append(int(entry))
    return found


def _end_as(status: int) -> NoReturn:
    """End as the worker did, so that the parent sees how."""
    if status < 0:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if -status not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else 128 - status)
