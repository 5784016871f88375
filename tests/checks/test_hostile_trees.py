"""Directories that somebody else has committed: nothing hangs, and nothing outside is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_modal.checks.cli import main

OTHER = "import modal\napp = modal.App()\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "good.py").write_text(OTHER)
    return tree


@pytest.mark.parametrize("named", [True, False], ids=["named", "searched"])
@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "/dev/stdin", "file outside", "nothing", "itself"])
def test_what_is_not_a_file_of_the_tree_is_an_error_of_its_own(
    tree: Path, capsys: pytest.CaptureFixture[str], what: str, named: bool
) -> None:
    path = tree / "evil.py"
    (tree.parent / "outside.py").write_text(OTHER)
    targets = {"file outside": "../outside.py", "nothing": "missing.py", "itself": "evil.py"}
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(targets.get(what, what))
    is_read = what == "file outside" and named
    is_skipped = what in ("nothing", "itself") and not named
    assert main(["check", str(path), str(tree / "good.py")] if named else ["check", str(tree)]) == (
        0 if is_read or is_skipped else 2
    )
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"0 findings in {'2 files' if is_read else '1 file'}"
    assert len(said) == (1 if is_read or is_skipped else 2)


def test_a_link_to_a_file_of_the_tree_is_that_file(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "again.py").symlink_to("good.py")
    assert main(["check", str(tree)]) == 0
    assert capsys.readouterr().err == "0 findings in 1 file\n"


def test_names_of_files_are_shown_safely(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "\x1b]52;c;eA==\x07\u202e\nname.py").write_text("import modal\ndef")
    (tree / "other\x1b[2J.py").write_text("import modal\napp = modal.App()\nwith app.run(): pass\n")
    assert main(["check", str(tree)]) == 2
    shown = capsys.readouterr()
    assert all(line.isprintable() for text in shown for line in text.splitlines())
    assert "other\\x1b[2J.py:3:6: PM103" in shown.out
