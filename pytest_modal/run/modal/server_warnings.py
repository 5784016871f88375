"""Warnings that Modal's server sends: they are notes for users, and never errors, whatever the filters say."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def as_notes(note: Callable[[str], None]) -> Iterator[None]:
    """Take the server's warnings for a while; all others go where they would.

    Parameters
    ----------
    note : callable
        Takes the text of each, once.
    """
    try:
        import modal
    except Exception:  # its configuration can't be read, which the session will say
        yield
        return
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=modal.exception.ServerWarning)
        show = warnings.showwarning

        def shown(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, modal.exception.ServerWarning):
                show(message, category, *where, **more)
            elif (text := str(message)) not in seen:
                seen.add(text)
                note(f"Modal says: {text}")

        warnings.showwarning = shown
        yield
