"""Python's garbage collector, which looks at all that pytest holds whenever much is made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def without_collections() -> Generator[None, None, None]:
    """Have the collector wait while the block makes much that stays, or that is in no cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
