"""What every worker gets: as a zip file, and unpacked with its bytecode."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_modal.run.bundle import _compiled, bundle, unpack

IMPORTED = "import sys; sys.path.insert(0, sys.argv[1]); from pytest_modal.remote import local_worker as it; "


def imported(folder: Path, then: str) -> str:
    """Import the worker in a fresh interpreter, do something with it, and return what that prints."""
    command = [sys.executable, "-P", "-B", "-c", IMPORTED + then, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("prefix", [None, "elsewhere"])
def test_a_worker_of_this_machine_compiles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str | None
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", prefix)
    _compiled.cache_clear()
    unpack(tmp_path)
    for source in {*tmp_path.glob("*/**/*.py")} - {tmp_path / "pytest_modal/__init__.py"}:
        source.write_text("raise SystemExit('compiled')")
    assert imported(tmp_path, "print(it.main.__name__)") == "main"


def test_its_code_is_where_it_was_unpacked(tmp_path: Path) -> None:
    unpack(tmp_path)
    place = imported(tmp_path, "print(it.__file__, it.main.__code__.co_filename)")
    assert place.split() == [str(tmp_path / "pytest_modal/remote/local_worker.py")] * 2


def test_what_travels_are_the_same_sources(tmp_path: Path) -> None:
    unpack(tmp_path)
    with zipfile.ZipFile(io.BytesIO(bundle())) as archive:
        travels = {name: archive.read(name) for name in archive.namelist()}
    here = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.glob("*/**/*.py")}
    assert travels == here
