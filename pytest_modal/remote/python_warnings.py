"""Python warnings of calls, recorded where they are raised, to be issued again on the user's machine."""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modal.remote.framing import PythonWarning
from pytest_modal.remote.streams import encodable

MAX_WARNINGS = 100  # of a call; what comes after them is printed, as Python does by itself
_MAX_TEXT = 10_000
_OUTSIDE = ("sys", "<string>")  # beyond the first frame; the start of the process
_HERE = str(Path(__file__).parent)


class WarningRecorder:
    """Records the warnings of the calls of a worker, each once per call and location.

    All categories are recorded: the filters of the user's machine decide. A filter that a container fixture adds holds
    for all calls after it, as in any process; one that a call adds holds for that call (see `Worker`).
    """

    def __init__(self) -> None:
        self._filters: list[Any] | None = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[PythonWarning]]:
        """Give a list that takes the warnings of the block."""
        found: list[PythonWarning] = []
        with warnings.catch_warnings():
            if self._filters is not None:
                warnings.filters[:] = self._filters  # type: ignore[index]
            # Also makes every module forget which of its warnings were shown.
            warnings.simplefilter("default", append=self._filters is not None)
            _record_into(found)
            try:
                yield found
            finally:
                self._filters = list(warnings.filters)


def _record_into(found: list[PythonWarning]) -> None:
    shown = warnings.showwarning

    def record(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if file is None and len(found) < MAX_WARNINGS:
            # A category or a message can be of any class: what can't be described is printed.
            with contextlib.suppress(Exception):
                found.append(_described(message, category, filename, lineno, sys._getframe(1)))
                return
        shown(message, category, filename, lineno, file, line)

    warnings.showwarning = record


def _described(
    message: Warning | str, category: type[Warning], file: str, line: int, frame: types.FrameType | None
) -> PythonWarning:
    frames = []
    while frame is not None and not _is_ours(frame.f_code.co_filename):
        frames.append(frame)
        frame = frame.f_back
    if (_is_ours(file) or file in _OUTSIDE) and frames and file not in [each.f_code.co_filename for each in frames]:
        # A `stacklevel` that leads out of the function that was called: its own line says most.
        file, line = frames[-1].f_code.co_filename, frames[-1].f_lineno
    module = next((each.f_globals.get("__name__") for each in frames if each.f_code.co_filename == file), None)
    return {
        "categories": [
            f"{kind.__module__}.{kind.__qualname__}" for kind in category.__mro__ if issubclass(kind, Warning)
        ],
        "message": encodable(str(message)[:_MAX_TEXT]),
        "file": encodable(file),
        "line": line,
        "module": module if isinstance(module, str) else "",
    }


def _is_ours(file: str) -> bool:
    return file.startswith(_HERE)
