"""Python's garbage collector, which looks at all that pytest holds whenever much is made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def without_collections() -> Generator[None, None, None]:
    """Have the collector wait while the block makes much that stays, or that is in no cycle.

    It does not make up for it afterwards: what there is then counts as old, and is looked at when all is.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # Frozen for a moment, young objects are old ones afterwards. What others have frozen stays so.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
