"""Places of files: which are the project's own. A separate module, because suites without GPU tests import it."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from pytest_modal.remote.installed import is_installed


def is_local(path: str | Path, rootdir: Path) -> bool:
    """Whether a file is the project's own: neither installed nor of the standard library.

    It is below the rootdir, or below a directory that the project adds to ``sys.path``. Links are followed on all
    sides, so that a project is the same one by whatever path it was entered.
    """
    return _is_local(str(path), str(rootdir), tuple(sys.path))


@functools.lru_cache(maxsize=8192)
def _is_local(path: str, rootdir: str, entries: tuple[str, ...]) -> bool:
    real = Path(os.path.realpath(path))
    # Installers may link files from a cache: then the link is what is installed.
    if is_installed(real) or is_installed(Path.cwd() / path):
        return False
    if real.is_relative_to(os.path.realpath(rootdir)):
        return True
    if not any(entry and real.is_relative_to(os.path.realpath(entry)) for entry in entries):
        return False
    # Suites without GPU tests ask of their own files only, and must not pay for the list of distributions.
    from pytest_modal.code.inventory import editable_directories

    return not any(real.is_relative_to(root) for root in editable_directories())
