"""The age of a container: how long its first process of Python has been there.

Standard library only. What a container takes before that, for its files, is not known to it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.monotonic()
_START = 19  # which of the fields behind the name of the process says when it started, in ticks since the boot


def age() -> float:
    """Return the seconds since this process was started; since it began to work, where the system doesn't say."""
    working = time.monotonic() - _IMPORTED
    try:
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_START])
        return max(working, uptime - started / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return working
