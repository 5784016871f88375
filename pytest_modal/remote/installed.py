"""Installed files, of the standard library or of a distribution; names of distributions."""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path

# Both may lie below a project: when it holds the interpreter's environment, or is the home directory.
_STANDARD_LIBRARY = [os.path.realpath(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")]
_SITE = {"site-packages", "dist-packages"}


def is_installed(real: Path) -> bool:
    """Whether a file or directory, by its real path, is of the standard library or of installed packages."""
    return not _SITE.isdisjoint(real.parts) or any(real.is_relative_to(library) for library in _STANDARD_LIBRARY)


def canonical(name: str) -> str:
    """Return a distribution's name in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()
