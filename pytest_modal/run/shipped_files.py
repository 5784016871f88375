"""Files that a container names: those of shipped modules are files of the project again, with the lines that were sent.

No file of this machine is read for it: a container could name any.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Batch, ShippedText
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote.statements import SHIPPED


class ShippedFiles:
    """The files of which something was sent.

    Parameters
    ----------
    batch : Batch
        What was sent.
    rootdir : Path
        The project.
    """

    def __init__(self, batch: Batch, rootdir: Path) -> None:
        self._batch = batch
        self._rootdir = rootdir

    @functools.cached_property
    def _texts(self) -> dict[str, list[ShippedText]]:
        """The texts of each file; functions of earlier batches may have sent other lines of it."""
        found: dict[str, dict[int, ShippedText]] = {}
        for node in (*self._batch.calls, *self._batch.containers.values()):
            for text in node.modules:
                found.setdefault(self._path(text.path), {})[id(text)] = text
        return {path: list(texts.values()) for path, texts in found.items()}

    def _path(self, path: str) -> str:
        return os.path.normpath(self._rootdir / path)

    def localize(self, outcome: Outcome) -> Outcome:
        """Let the frames and warnings of an outcome name the files of this machine; frames get their source lines."""
        # A copy: calls that could not be made take over the error of what they need.
        return dataclasses.replace(
            outcome,
            error=None if outcome.error is None else self.localized(outcome.error),
            warnings=tuple({**each, "file": self._shown(each["file"], each["line"])} for each in outcome.warnings),
        )

    def localized(self, error: Mapping[str, Any]) -> dict[str, Any]:
        """Let the frames of a described exception name the files of this machine, with their source lines."""
        found = {**error}
        if "frames" in found:
            found["frames"] = [self._frame(*frame) for frame in found["frames"]]
        for link in ("cause", "context"):
            if link in found:
                found[link] = self.localized(found[link])
        if "exceptions" in found:
            found["exceptions"] = [*map(self.localized, found["exceptions"])]
        return found

    def _frame(self, file: str, line: int, name: str) -> tuple[str, int, str, str]:
        path = self._local(file)
        return path, line, name, self._line(path, line)

    def _local(self, file: str) -> str:
        path = self._path(file.removeprefix(SHIPPED)) if file.startswith(SHIPPED) else file
        return path if path in self._texts else file

    def _line(self, path: str, line: int) -> str:
        return next((found for text in self._texts.get(path, ()) if (found := text.line(line).strip())), "")

    def _shown(self, file: str, line: int) -> str:
        """Return a file as it may be shown: Python reads lines of the files that warnings name, but not of these."""
        path = self._local(file)
        return path if self._line(path, line) else f"<{file}>"
