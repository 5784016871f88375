"""How a process ended, in words."""

from __future__ import annotations

import signal

_HINTS = {
    "SIGKILL": " (most often: out of memory)",
    "SIGSEGV": " (segmentation fault)",
    "SIGABRT": " (aborted)",
}


# Of containers that ran out of memory, as reported from Modal; 128 and the number of a signal is that signal.
_OUT_OF_MEMORY = (2, 9, -1)


def container_ending(status: int) -> str:
    """Return how a container ended, as a sentence, from the exit status that Modal reports."""
    if status in _OUT_OF_MEMORY:
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
