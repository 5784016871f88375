"""Files that a container names: those of shipped modules are files of the project again, with the lines that were sent.

No file of this machine is read for it: a container could name any.
"""

from __future__ import annotations

import functools
import os
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
        for error in [outcome.error, *outcome.teardown_errors]:
            if error is not None:
                self._localize_frames(error)
        outcome.warnings = [{**each, "file": self._shown(each["file"], each["line"])} for each in outcome.warnings]
        return outcome

    def _localize_frames(self, error: Any) -> None:
        waiting = [error]
        while waiting:
            one = waiting.pop()
            if "frames" in one:
                one["frames"] = [self._frame(*frame) for frame in one["frames"]]
            waiting += [one[link] for link in ("cause", "context") if link in one]
            waiting += one.get("exceptions", ())

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
