"""Files that calls really write: the user is told which are gone with the container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from literal_lines import assert_lines, unwrapped
from loopback_modal import LoopbackModal

from pytest_modal.remote import lost_files


def test_a_warning_names_the_files_and_the_call(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        def name_of(stem): return stem + ".json"

        def writes(stem):
            import json, os, tempfile
            with open(name_of(stem), "w") as f:  # modal: allow PM101
                json.dump([1], f)
            with tempfile.TemporaryDirectory() as directory:
                open(os.path.join(directory, "scratch.txt"), "w").close()
            with open("half.tmp", "w") as f:  # modal: allow PM101
                f.write("x")
            os.replace("half.tmp", "whole.txt")
            open("gone.txt", "w").close()  # modal: allow PM101
            os.remove("gone.txt")
            return 1

        def reads(stem):
            with open(os.__file__) as f:
                return [f.readline() != "", stem]
        reads.__globals__["os"] = __import__("os")

        @pytest.mark.parametrize("stem", ["results"])
        @pytest.mark.modal_gpu(function=writes)
        def test_writes(modal_result): assert modal_result == 1

        @pytest.mark.modal_gpu(function=reads, args={"stem": "b"})
        def test_reads(modal_result): assert modal_result == [True, "b"]
        """
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:xdist", "-pno:asyncio", "-Werror")
    result.assert_outcomes(passed=2)
    wrote = "modal: warning: writes*results* (test_it.py:5) wrote results.json, whole.txt, lost with the container: *"
    assert_lines(result.outlines, [wrote])
    assert "\n".join(unwrapped(result.outlines)).count("lost with the container") == 1


def test_a_container_on_modal_tells_too(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        def writes():
            with open("results.csv", "w") as f:  # modal: allow PM101
                f.write("a,b")
            return 1

        @pytest.mark.modal_gpu(function=writes)
        def test_writes(modal_result): assert modal_result == 1
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=1)
    assert_lines(
        result.outlines, ["modal: warning: writes (test_it.py:3) wrote results.csv, lost with the container: *"]
    )


def test_mistakes_open_no_session(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def bad():
            open("x.csv", "w").close()
            return 1

        def test_bad(bad): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["PM101 open writes a file in the GPU function bad: *"])
    assert modal_server.facts()["apps"] == []


def watched(code: str, directory: Path, mounts: tuple[str, ...] = (), **environment: str) -> list[str]:
    """Run code in a process of its own, since audit hooks stay, and return what it lost."""
    program = (
        "import os, sys; from pytest_modal.remote import lost_files\n"
        f"with lost_files.watching({mounts!r}) as lost:\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        + "print(*lost, sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        ("open('a.txt', 'w').close()", ["a.txt"]),
        ("open(b'a.txt', 'ab').close()", ["a.txt"]),
        ("os.makedirs('deep/er'); open('deep/er/a.txt', 'x').close()", ["deep/er/a.txt"]),
        ("os.close(os.open('a.txt', os.O_CREAT | os.O_WRONLY))", ["a.txt"]),
        ("import pathlib; pathlib.Path('a.txt').write_text('x'); open('a.txt').read()", ["a.txt"]),
        ("import sqlite3; sqlite3.connect('a.db').execute('create table t (x)')", ["a.db"]),
        ("import threading; t = threading.Thread(target=open, args=('a.txt', 'w')); t.start(); t.join()", ["a.txt"]),
        ("open(os.devnull, 'w').close()", []),
        ("open('/tmp/pytest-modal-scratch', 'w').close(); os.remove('/tmp/pytest-modal-scratch')", []),
        ("os.mkdir('__pycache__'); open('__pycache__/a.pyc', 'wb').close()", []),
        ("os.mkdir('empty')", []),
    ],
)
def test_what_counts_as_written(tmp_path: Path, code: str, lost: list[str]) -> None:
    assert watched(code, tmp_path) == lost


CHDIR = "import tempfile; os.chdir(tempfile.mkdtemp()); open('build.log', 'w').close()"


@pytest.mark.parametrize(
    ("code", "lost"),
    [
        (CHDIR, []),
        (f"{CHDIR}; os.mkdir('deep'); os.chdir('deep'); open('b.log', 'w').close()", []),
        (f"home = os.getcwd(); {CHDIR}; os.chdir(home)", []),
        (f"open('a.txt', 'w').close(); {CHDIR}", ["a.txt"]),
        (f"home = os.getcwd(); {CHDIR}; open(home + '/a.txt', 'w').close()", ["a.txt"]),
        ("import tempfile; os.chdir(tempfile.mkdtemp(dir='.')); open('build.log', 'w').close()", []),
        ("import tempfile; open(tempfile.mkdtemp(dir='.') + '/build.log', 'w').close()", []),
        ("os.mkdir('out'); os.chdir('out'); open('a.txt', 'w').close()", ["out/a.txt"]),
        # What lies in a directory that the call goes to is not the call's.
        ("os.chdir('data'); open('b.txt', 'w').close()", ["data/b.txt"]),
        ("import tempfile\nwith tempfile.TemporaryDirectory() as d: os.chdir(d); open('a.txt', 'w').close()", []),
        ("open('a.txt', 'w').close(); os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')", ["a.txt"]),
    ],
)
def test_a_call_that_changes_the_working_directory(tmp_path: Path, code: str, lost: list[str]) -> None:
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    (work / "data" / "large.csv").touch()
    (tmp_path / "temporary").mkdir()
    assert watched(code, work, TMPDIR=str(tmp_path / "temporary"), HF_HOME="cache") == lost


def test_a_call_in_a_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = (
        "import os; from pytest_modal.remote import lost_files; os.rmdir(os.getcwd())\n"
        "with lost_files.watching() as lost: pass\n"
        "print(lost)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "gone", capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_caches_and_volumes_are_no_loss(tmp_path: Path) -> None:
    for name in ("hub", "triton", "vol", "home", "out", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / ".cache").mkdir()
    files = ["hub/model.bin", "triton/kernel.so", "vol/result.csv", "home/.cache/fonts.json", "out/result.csv"]
    code = "\n".join(f"open({str(tmp_path / name)!r}, 'w').close()" for name in files)
    environment = {
        "HF_HOME": str(tmp_path / "hub"),
        "TRITON_CACHE_DIR": str(tmp_path / "triton"),
        "HOME": str(tmp_path / "home"),
        # Elsewhere: else everything here would be scratch, since it lies in the temporary directory.
        "TMPDIR": str(tmp_path / "scratch"),
    }
    mounts = (str(tmp_path / "vol"),)
    assert watched(code, tmp_path, mounts, **environment) == ["out/result.csv"]


def test_only_files_of_the_block_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "before.txt").touch()
    with lost_files.watching() as first:
        Path("during.txt").touch()
    (tmp_path / "after.txt").touch()
    with lost_files.watching() as second:
        Path("before.txt").read_text()
    assert (first, second) == (["during.txt"], [])


def test_many_files_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with lost_files.watching() as lost:
        for number in range(100):
            Path(f"{number}.txt").touch()
    assert len(lost) == lost_files.KEPT
