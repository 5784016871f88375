"""An answer to ``breakpoint()`` where no terminal is."""

from __future__ import annotations

import os
import sys

INLINE = "pytest --modal-inline"


class BreakpointError(Exception):
    """A function called ``breakpoint()`` in a process that has no terminal."""


def refuse_breakpoints(why: str = "a worker process has no terminal", command: str = INLINE) -> None:
    """Make ``breakpoint()`` raise an error that says how to debug, from now on in this process.

    A debugger that the user has named in ``PYTHONBREAKPOINT`` may need no terminal, and is left alone.
    """

    def refuse(*args: object, **kwargs: object) -> object:
        if os.environ.get("PYTHONBREAKPOINT"):
            return sys.__breakpointhook__(*args, **kwargs)
        raise BreakpointError(f"breakpoint() can't stop here: {why}; {command} runs the function where it can")

    sys.breakpointhook = refuse
