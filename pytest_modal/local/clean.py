"""``--modal-clean``: what no test of a run wrote is deleted from the output directory."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.local.output_dir import COMMENT, GITIGNORE, INDEX, ITEMS, METRICS, RUN, RUNS, output_root, written_of
from pytest_modal.plan.selection import is_everything
from pytest_modal.report.terminal import Lines
from pytest_modal.wording import count, first_few, shown_path, three_parts

_INDEXES = (INDEX, "gates.json", RUN, COMMENT, METRICS)


class CleanHooks:
    """Registered where the run as a whole ends."""

    def __init__(self) -> None:
        self._started = time.time()
        self._said = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = session.config
        if not _ran_tests(config):
            return
        root = output_root(config)
        shown = shown_path(root, config.rootpath)
        if reason := _refusal(session, exitstatus, root):
            what, remedy = reason
            self._said = three_parts(f"nothing was deleted by --modal-clean: {what}", shown, remedy)
            return
        kept = {root / artifact["path"] for artifact in written_of(config)} | {root / GITIGNORE}
        kept |= {*root.glob(f"{RUNS}/*.json"), *root.glob(f"{RUNS}/{ITEMS}/*.json")}
        # Indexes of an earlier run list what is deleted now.
        page = settings_of(config).report
        written = [*map(root.joinpath, _INDEXES), *([] if page is None else [root / page])]
        kept |= {path for path in written if _is_newer(path, self._started)}
        deleted = [path.relative_to(root).as_posix() for path in _delete_others(root, kept)]
        if deleted:
            self._said = f"deleted {count(len(deleted), 'file')} in {shown} that no test wrote: {first_few(deleted)}"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Lines) -> None:
        if self._said:
            terminalreporter.write_line(f"modal: {self._said}")


def _ran_tests(config: pytest.Config) -> bool:
    names = ("collectonly", "setuponly", "setupplan", "modal_plan")
    return not any(getattr(config.option, name, False) for name in names)


def _refusal(session: pytest.Session, exitstatus: int, root: Path) -> tuple[str, str] | None:
    """Return why nothing may be deleted, and what to do."""
    if exitstatus != pytest.ExitCode.OK or not is_everything(session):
        return "it needs a run of all tests in which none fails", "run pytest without -k, -m and paths"
    if settings_of(session.config).mode == "skip":
        return "the GPU tests were skipped", "use another --modal-mode"
    if not root.is_dir():
        return None
    if root.is_symlink():
        return "the output directory is a symbolic link", "delete files in its target by hand"
    if session.config.rootpath.is_relative_to(root) or (root / ".git").exists():
        return "the output directory contains the project", "set --modal-output-dir to a separate directory"
    if not any((root / name).is_file() for name in (GITIGNORE, *_INDEXES)):
        return "the output directory was not made by pytest-modal", "delete files that you don't need by hand"
    return None


def _is_newer(path: Path, started: float) -> bool:
    # File systems round times down.
    return path.is_file() and path.stat().st_mtime >= started - 2


def _delete_others(root: Path, kept: set[Path]) -> list[Path]:
    """Delete all other files and links, and the directories that are empty then; links are not followed."""
    deleted = []
    for folder, directories, names in os.walk(root, topdown=False):
        for path in (Path(folder, name) for name in names):
            if path not in kept:
                path.unlink(missing_ok=True)
                deleted.append(path)
        for path in (Path(folder, name) for name in directories):
            if path.is_symlink():
                path.unlink()
                deleted.append(path)
            elif not any(path.iterdir()):
                path.rmdir()
    return sorted(deleted)


def watch_clean(config: pytest.Config) -> None:
    """Clean up at the end of the run; workers of pytest-xdist leave it to the controller."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(CleanHooks(), "pytest_modal_clean")
