"""Rules run over files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rules import RULES
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.source import Source, UnreadableError, parse, read_text

# Every file with GPU code has one of these: the import, the marker, or the decorator of an app from another file.
MODAL = re.compile(
    r"^\s*(?:import\b.*|from\s+)\b(?:pytest_)?modal\b|\bmodal_gpu\b|^\s*@\w+\.(?:function|cls)\b", re.MULTILINE
)
SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist-packages", "build", "dist", "venv", "env"}


def check_source(source: Source) -> list[Finding]:
    """Return all findings of a file, in order, less those that it allows."""
    # Most files of a directory have nothing to do with Modal.
    if not MODAL.search(source.text):
        return []
    script = Script(source)
    try:
        return check_functions(script, script.functions)
    finally:
        script.release()


def check_functions(script: Script, functions: list[GpuFunction]) -> list[Finding]:
    """Return the findings about some of a script's GPU functions; of planned ones, only what concerns them."""
    planned = any(function.planned is not None for function in functions)
    found = {
        (finding.path, finding.line, finding.column, finding.code): finding
        for rule in RULES.values()
        if not (planned and rule.about_script)
        for finding in rule.check(script, functions)
    }
    sources = {script.source.path: script.source}
    sources |= {source.path: source for each in functions for source in each.sources}
    return sorted(finding for finding in found.values() if not _is_allowed(finding, sources[finding.path]))


def _is_allowed(finding: Finding, source: Source) -> bool:
    return any(finding.code in source.allowed(line) for line in {finding.line, finding.end_line or finding.line})


def check_path(path: Path, *, named: bool = True) -> tuple[list[Finding], Source | None]:
    """Check one file; one that isn't named by the user is only parsed if it has to do with Modal.

    Raises
    ------
    UnreadableError
        It can't be checked.
    """
    if not named and path.is_symlink():
        raise UnreadableError("a symbolic link that leads out of the directory; name it to have it checked")
    text = read_text(path)
    if not named and not MODAL.search(text):
        return [], None
    source = parse(text, path.as_posix(), path.resolve())
    try:
        return check_source(source), source
    except RecursionError:
        raise UnreadableError("nested too deeply to be checked") from None


def python_files(paths: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Yield the files to check, and whether the user named them.

    Directories are searched; hidden ones, environments and build products in them are left out.
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield path, True
            continue
        for directory, below, names in os.walk(path):
            below[:] = sorted(name for name in below if not _is_left_out(Path(directory, name)))
            for name in sorted(names):
                found = Path(directory, name)
                # What a link within the directory leads to is found by itself.
                if name.endswith(".py") and not (found.is_symlink() and _is_within(found, path)):
                    yield found, False


def _is_within(path: Path, directory: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _is_left_out(directory: Path) -> bool:
    return directory.name.startswith(".") or directory.name in SKIPPED or (directory / "pyvenv.cfg").exists()
