"""Teardowns of container fixtures that went wrong, in words: they decide no result."""

from __future__ import annotations

from typing import Any

from pytest_modal.remote.framing import Teardown
from pytest_modal.run.endings import ending
from pytest_modal.run.shipped_files import ShippedFiles


def in_words(teardown: Teardown, files: ShippedFiles) -> dict[str, Any]:
    """Return what `pytest_modal.store.results.Run` has of it."""
    error = files.localized(teardown["error"]) if "error" in teardown else None
    ended = teardown.get("ended", {})
    if error is not None:
        what = f"raised {error['type']} after its yield"
    elif "yields" in teardown:
        what = "has more than one yield"
    elif "exit_status" in ended:
        what = f"ended its process after its yield: {ending('the worker process', ended['exit_status'])}"
    elif "limit" in ended:
        what = f"did not end within {ended['limit']:g} s after its yield: its process was killed"
    else:
        what = f"still ran {teardown.get('pending', 0.0):g} s after its yield, when the results were sent"
    return {"container_key": teardown["container_key"], "what": what, "error": error}
