"""Runs that are killed leave no process behind, and directories only until the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modal.store.scratch import clean, temporary_directory

SUITE = """
import pytest, pytest_modal

def work(n):
    import os, pathlib, time
    pathlib.Path({pids!r}, str(os.getpid())).touch()
    if n: time.sleep({seconds})
    return n

@pytest.mark.parametrize("n", range(2))
@pytest.mark.modal_gpu(function=work)
def test_work(modal_result, n): assert modal_result == n
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, of this process and of those that it starts."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr("tempfile.tempdir", str(directory))
    return directory


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["", "xdist"])
def test_the_next_run_deletes_what_a_killed_one_has_left(
    pytester: pytest.Pytester, temporary: Path, tmp_path: Path, workers: list[str]
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    test = pytester.makepyfile(SUITE.format(pids=str(pids), seconds=300))
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *workers, str(test)]
    # No cache: results are in the directory for temporary files too.
    command += ["-p", "no:cacheprovider"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        _wait_for(lambda: any(pids.iterdir()))
        os.killpg(process.pid, signal.SIGKILL)
    worker = int(next(pids.iterdir()).name)
    _wait_for(lambda: not _runs(worker))
    assert any(temporary.glob("pytest-modal-*"))
    test.write_text(SUITE.format(pids=str(pids), seconds=0))
    pytester.runpytest_subprocess("-p", "no:randomly", *workers, timeout=60).assert_outcomes(passed=2)
    assert [*temporary.glob("pytest-modal-*")] == []


def test_it_deletes_nothing_of_a_run_that_lives(temporary: Path) -> None:
    foreign = temporary / "pytest-modal-of-somebody-else"
    foreign.mkdir()
    (temporary / "pytest-modal-link").symlink_to(temporary)
    with temporary_directory() as mine:
        clean()
        assert mine.is_dir()
        assert mine.stat().st_mode & 0o77 == 0
    assert not mine.exists()
    assert len([*temporary.iterdir()]) == 2


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
