"""How a process ended, in words."""

from __future__ import annotations

import signal

_HINTS = {
    "SIGKILL": " (most often: out of memory)",
    "SIGSEGV": " (segmentation fault)",
    "SIGABRT": " (aborted)",
}


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
