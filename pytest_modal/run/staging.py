"""Directories of local packages, as a worker finds them on its search path: alike on this machine and on Modal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pytest_modal.code.local_packages import all_files
from pytest_modal.code.metadata import metadata_of


def stage(packages: Sequence[str], directory: Path) -> None:
    """Put the files of packages into a directory, with the metadata of their distributions.

    They are copies, with their permissions: the project is neither changed by what runs nor read while it is edited.
    """
    files = all_files(packages)
    for place, path in files.items():
        copy = directory / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for place, text in metadata_of(packages, files).items():
        copy = directory / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        copy.chmod(0o644)
