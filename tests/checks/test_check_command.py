"""``pytest-modal check`` and ``pytest-modal explain``, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_modal.checks.cli import main

BAD = """\
import modal

app = modal.App("evaluation")


@app.function(gpu="T4")
def evaluate(problems):
\tplt.savefig("figure.png")


with app.run():
    evaluate.remote([])
"""
CLEAN = "import modal\n\napp = modal.App('clean')\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_findings_are_shown_with_their_line_and_a_caret(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.py").write_text(BAD)
    assert main(["check", "bad.py"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("bad.py:8:2: PM101 plt.savefig writes a file in the GPU function evaluate: ")
    assert lines[1:3] == ['    \tplt.savefig("figure.png")', "    \t" + "^" * 25]
    assert lines[3].startswith("  what to do: return the data ")
    assert lines[5].startswith("bad.py:11:6: PM103 ")
    assert lines[7] == "         ^^^^^^^^^"
    assert err == "2 findings in 1 file\n"


CLEAN_SCRIPTS = sorted((Path(__file__).parent / "clean_scripts").glob("*.txt"))


@pytest.mark.parametrize("script", CLEAN_SCRIPTS, ids=lambda path: path.stem)
def test_nothing_is_found_in_scripts_that_write_where_they_may(
    here: Path, capsys: pytest.CaptureFixture[str], script: Path
) -> None:
    (here / "script.py").write_text(script.read_text())
    assert main(["check", "script.py"]) == 0
    assert capsys.readouterr().err == "0 findings in 1 file\n"


def test_json_is_a_list_of_findings_and_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.py").write_text(BAD)
    assert main(["check", ".", "--format", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert [set(finding) for finding in findings] == [{"code", "path", "line", "column", "message", "hint"}] * 2
    assert [(each["code"], each["path"], each["line"], each["column"]) for each in findings] == [
        ("PM101", "bad.py", 8, 2),
        ("PM103", "bad.py", 11, 6),
    ]
    (here / "bad.py").write_text(CLEAN)
    assert main(["check", ".", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_github_annotations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a,b.py").write_text(BAD)
    assert main(["check", "a,b.py", "--format=github"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("::error file=a%2Cb.py,line=8,col=2,title=PM101::plt.savefig writes a file ")
    assert second.startswith("::error file=a%2Cb.py,line=11,col=6,title=PM103::")


def test_a_clean_directory_is_a_success(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "clean.py").write_text(CLEAN)
    (here / "other.py").write_text("print('nothing to do with it')\n")
    (here / "not_python.txt").write_text("import modal (")
    (here / "multimodal.py").write_text("print 'a multimodal model, in Python 2'\n")
    for left_out in (".venv", "node_modules", "__pycache__", ".hidden"):
        (here / left_out).mkdir()
        (here / left_out / "bad.py").write_text(BAD)
    (here / "myenv").mkdir()
    (here / "myenv" / "pyvenv.cfg").touch()
    (here / "myenv" / "bad.py").write_text(BAD)
    assert main(["check", "."]) == 0
    assert capsys.readouterr() == ("", "0 findings in 3 files\n")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.py", b"import modal\ndef f(:\n", "broken.py: line 2: not valid Python: "),
        ("two.py", b"print 'modal'\n", "two.py: line 1: not valid Python: "),
        ("latin.py", b"import modal\nname = '\xe9'\n", "latin.py: not text in the encoding that it declares"),
        ("coding.py", b"# -*- coding: no-such -*-\nimport modal\n", "coding.py: not text in the encoding "),
        ("utf16.py", "import modal\n".encode("utf-16"), "utf16.py: not text in the encoding that it declares"),
        ("null.py", b"import modal\nx = 'a\x00b'\n", "null.py: "),
        ("huge.py", b"import modal\n" + b"x = 1\n" * 800_000, "huge.py: 4.6 MiB of source; "),
        ("deep.py", b"import modal\nx = " + b"(" * 5000 + b")" * 5000, "deep.py: "),
        ("long.py", b"import modal\nx = " + b"1 + " * 20000 + b"1\n", "long.py: "),
        ("analysis.ipynb", b'{"cells": []}', "analysis.ipynb: this is a notebook: export it first, with jupyter"),
        ("renamed.py", b'{"cells": [], "metadata": {"a": null}, }}', "this seems to be a notebook: export it first"),
        ("missing.py", None, "missing.py: can't be read: No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, says: str
) -> None:
    (here / "bad.py").write_text(BAD)
    if content is not None:
        (here / name).write_bytes(content)
    assert main(["check", name, "bad.py"]) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in err
    assert "bad.py:8:2: PM101" in out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbfimport modal\n",
        b"# -*- coding: latin-1 -*-\nimport modal\nname = '\xe9'\n",
        b"import modal\r\napp = modal.App('x')\r\n",
        b"import modal\rapp = modal.App('x')\r",
        b"import modal\n\x0cname = 'a\\d'\n",
    ],
    ids=["empty", "blank", "bom", "latin-1", "windows", "old mac", "form feed and odd escape"],
)
def test_odd_files_are_read(here: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (here / "odd.py").write_bytes(content)
    assert main(["check", "odd.py"]) == 0
    assert capsys.readouterr().err == "0 findings in 1 file\n"


def test_columns_are_those_of_the_file_as_it_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = BAD.replace("\n", "\r\n").replace('\tplt.savefig("figure.png")', '\t"größe"; plt.savefig("figure.png")')
    (here / "bad.py").write_bytes(b"# coding: latin-1\r\n" + text.encode("latin-1"))
    main(["check", "bad.py"])
    assert capsys.readouterr().out.startswith("bad.py:9:11: PM101 ")


def test_several_findings_of_a_line_are_silenced_by_one_comment(here: Path) -> None:
    text = BAD.replace("with app.run():", "with app.run():  # modal: allow PM103, PM104").replace(
        '("figure.png")', '("figure.png")  # modal:allow pm101'
    )
    (here / "bad.py").write_text(text)
    assert main(["check", "bad.py"]) == 0
    (here / "bad.py").write_text(text.replace("PM103, PM104", "PM101"))
    assert main(["check", "bad.py"]) == 1


def test_nothing_that_is_checked_is_run_and_nothing_heavy_is_imported(here: Path) -> None:
    (here / "bad.py").write_text(BAD + "open('proof.txt', 'w').write('ran')\n")
    (here / "modal.py").write_text("raise SystemExit('imported')\n")
    code = (
        "import sys; from pytest_modal.checks.cli import main; status = main(['check', 'bad.py']); "
        "print(status, sorted({'modal', 'torch', 'numpy', 'pandas', 'bad'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 []"
    assert not (here / "proof.txt").exists()


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "pm101"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("PM101 (error): A file is written in a GPU function\n")
    assert all(heading in out for heading in ("Why\n", "Instead\n", "Bad\n", "Good\n", "# modal: allow PM101"))
    assert main(["explain"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [f"PM{n}" for n in range(101, 112)]
    assert main(["explain", "PM112"]) == 2
    assert "unknown rule 'PM112': did you mean PM1" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["check"], ["check", "x.py", "--format", "xml"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: pytest-modal" in capsys.readouterr().err


def test_the_command_is_installed(here: Path) -> None:
    (here / "clean.py").write_text(CLEAN)
    command = Path(sys.executable).with_name("pytest-modal")
    done = subprocess.run([command, "check", "clean.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "0 findings in 1 file\n")
    module = [sys.executable, "-m", "pytest_modal.checks", "explain", "PM110"]
    assert subprocess.run(module, capture_output=True, text=True).stdout.startswith("PM110 (warning)")


def test_the_pre_commit_hook_runs_the_command() -> None:
    hooks = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert "entry: pytest-modal check\n" in hooks
    assert "types: [python]\n" in hooks
