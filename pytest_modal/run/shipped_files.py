"""Files that a container names: those of shipped modules are files of the project again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote.statements import SHIPPED


def with_local_files(outcome: Outcome, rootdir: Path) -> Outcome:
    """Let the frames and warnings of an outcome name the files of this machine."""
    if outcome.error is not None:
        map_frames(outcome.error, rootdir)
    outcome.warnings = [{**each, "file": _local(each["file"], rootdir)} for each in outcome.warnings]
    return outcome


def map_frames(error: Any, rootdir: Path) -> None:
    """Let the frames of a described exception name the files of this machine."""
    if "frames" in error:
        error["frames"] = [(_local(file, rootdir), line, name) for file, line, name in error["frames"]]
    for inner in [*(error[link] for link in ("cause", "context") if link in error), *error.get("exceptions", [])]:
        map_frames(inner, rootdir)


def _local(file: str, rootdir: Path) -> str:
    if not file.startswith(SHIPPED):
        return file
    return os.path.normpath(rootdir / file.removeprefix(SHIPPED))
