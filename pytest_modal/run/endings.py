"""How a process ended, in words."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection

_HINTS = {
    "SIGKILL": " (most often: out of memory)",
    "SIGSEGV": " (segmentation fault)",
    "SIGABRT": " (aborted)",
}


_EXIT_STATUS = re.compile(r"exit code: (-?\d+)")


def exit_status_in(text: str) -> int | None:
    """Return the exit status of a container that a message of Modal names; None if it names none."""
    match = _EXIT_STATUS.search(text)
    return int(match[1]) if match else None


def container_ending(status: int, out_of_memory: Collection[int]) -> str:
    """Return how a container ended, as a sentence.

    Parameters
    ----------
    status : int
        Its exit status, as Modal reports it: 128 and the number of a signal is that signal.
    out_of_memory : collection of int
        Exit statuses of containers that ran out of memory.
    """
    if status in out_of_memory and status != 128 + signal.SIGKILL:  # which has a name, and that hint
        return f"the container ended with exit status {status} (often out of memory)"
    return ending("the container", 128 - status if status > 128 else status)


def ending(subject: str, status: int) -> str:
    """Return how a process ended, as a sentence.

    Parameters
    ----------
    subject : str
        The process, as the sentence begins.
    status : int
        Its exit status; the negative number of the signal that killed it.
    """
    if status >= 0:
        return f"{subject} ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{subject} was killed by {name}{_HINTS.get(name, '')}"
