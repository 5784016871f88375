"""Disks that are full and terminals that are gone: what is there is used, and the run comes to its end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from literal_lines import assert_lines
from suite_run import section

# Files can't grow beyond a limit, which every user may set: writing fails as on a full disk.
LIMIT = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
"""
SUITE = """
import pytest, pytest_modal

@pytest_modal.fixture(params=[10, 1_000_000, 20, 2_000_000])
def value(request): return "x" * request.param

@pytest_modal.fixture
def length(value): return len(value)

def test_value(value): assert set(value) == {"x"}

def test_length(length): assert length
"""
SAID = "results could not be stored: File too large"


@pytest.mark.parametrize("mode", [[], ["-n2"], ["--modal"]], ids=["local", "xdist", "modal"])
def test_what_could_be_stored_is_used_and_what_could_not_is_named_once(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, mode: list[str]
) -> None:
    if mode == ["--modal"]:
        request.getfixturevalue("modal_server")
    pytester.makeconftest(LIMIT)
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    result = pytester.runpytest_subprocess(*mode, "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=4, errors=4)
    assert "INTERNALERROR" not in result.stdout.str()
    lines = section(result, "modal")
    assert_lines(lines, ["*: 4 ok, 2 dependency failed, 2 infrastructure; *"])
    assert_lines(
        lines,
        [f"not stored: {SAID} (2 calls)", "  what to do: free space on the disk of *, and run pytest again with *"],
    )
    # Whole in one error, and a line in each of the others.
    assert sum(line == SAID for line in result.outlines) == 1
    pytester.path.joinpath("conftest.py").unlink()
    again = pytester.runpytest_subprocess(*mode, "-p", "no:randomly", "--modal-resume", timeout=90)
    again.assert_outcomes(passed=8)
    assert_lines(again.outlines, ["*4 of 8 calls reused from earlier runs, 4 to run"])


def test_an_index_that_can_not_be_written_is_a_line_of_the_summary(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("modal_output", "artifacts.json").mkdir(parents=True)  # in the way, for root as well
    pytester.path.joinpath("test_it.py").write_text("def test_it(save_json): save_json('a.json', [1])\n")
    result = pytester.runpytest_subprocess(timeout=60)
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["artifacts.json was not written: [Errno 21] Is a directory: *"])


def test_gates_end_where_the_summary_of_their_step_can_not_be_written(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    pytester.path.joinpath("test_it.py").write_text(
        "def test_it(accuracy_gate): accuracy_gate('g', [{'id': n, 'correct': True} for n in range(50)])\n"
    )
    result = pytester.runpytest_subprocess("--modal-update-baselines", timeout=60)
    assert "INTERNALERROR" not in result.stdout.str()
    assert_lines(result.outlines, ["the summary of the step was not written: [Errno 28] No space left on device"])
    assert (pytester.path / "baselines").is_dir()


LABELS = """
import pytest, pytest_modal

@pytest_modal.fixture
def value(p):
    print("naïve 😀")
    return p

@pytest.mark.parametrize("p", ["[red]", "😀", "é", "\\x1b]52;c;eA==\\x07"])
def test_it(value, p): assert value == p
"""


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_terminal_may_have_any_letters_and_any_size(pytester: pytest.Pytester, encoding: str) -> None:
    pytester.path.joinpath("test_it.py").write_text(LABELS, encoding="utf-8")
    status, shown = _in_terminal(["-q", "-s"], pytester.path, {"PYTHONIOENCODING": encoding, "COLUMNS": "2"})
    assert status == 0, shown
    assert b"4 passed" in shown
    assert b"\x1b]52" not in shown


def _in_terminal(arguments: Sequence[str], directory: Path, variables: dict[str, str]) -> tuple[int, bytes]:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *arguments]
    shown = bytearray()
    with subprocess.Popen(
        command, cwd=directory, env={**os.environ, **variables}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            pass  # so Linux says that the other end is closed
        os.close(ours)
        return process.wait(timeout=60), bytes(shown)
