"""Audit events of this process, for everybody who listens: Python can't remove a hook, so there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable

Listener = Callable[[tuple[object, ...]], None]
_listeners: dict[str, list[Listener]] = {}


def listen(event: str, listener: Listener) -> None:
    """Have an event reported from now on, to each listener once; what a listener raises, the code that runs gets."""
    if not _listeners:
        sys.addaudithook(_heard)
    known = _listeners.setdefault(event, [])
    if listener not in known:
        known.append(listener)


def _heard(event: str, arguments: tuple[object, ...]) -> None:
    # Runs at every audit event of the process: most have no listener.
    for listener in _listeners.get(event, ()):
        listener(arguments)
