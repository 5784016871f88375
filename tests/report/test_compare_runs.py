"""``pytest-modal compare`` for two runs of a suite."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot
import pytest

# With numpy and scipy, which can't be imported again by each inner run.
from pytest_modal.cli.compare_runs import is_run
from pytest_modal.cli.main import main

mpl.use("Agg")

SUITE = """
    import time
    import pytest, pytest_modal

    ITEMS = [{"id": f"q{number:03}", "input": f"{number} + 1"} for number in range(100)]

    def answer(items):
        time.sleep(PAUSE)
        return [{**item, "is_correct": index >= WRONG} for index, item in enumerate(items)]

    @pytest_modal.fixture
    def answers():
        return answer(ITEMS)

    @pytest.mark.modal_gpu
    def test_answers(answers, accuracy_gate, save_csv, save_figure):
        from matplotlib import pyplot
        save_csv("answers.csv", answers)
        drawn, axis = pyplot.subplots(figsize=(2, 2))
        axis.plot([1, 2], color="COLOUR")
        save_figure("line.png", drawn)
        accuracy_gate("sums", answers, correct="is_correct")

    @pytest.mark.modal_gpu
    def test_first(answers):
        assert answers[0]["is_correct"] is (WRONG == 0)
"""

Run = Callable[..., Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the output roots of finished runs are kept: several tests look at one, each at a copy of its own."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def run_into(pytester: pytest.Pytester) -> Run:
    """Run the suite, changed, into an output root of that name; return the file of its record."""

    def run_into(name: str, *, pause: float = 0.0, wrong: int = 0, colour: str = "black", select: str = "") -> Path:
        text = SUITE.replace("PAUSE", str(pause)).replace("WRONG", str(wrong)).replace("COLOUR", colour)
        pytester.makepyfile(test_suite=text)
        arguments = [f"--modal-output-dir={name}", "-p", "no:randomly", *(["-k", select] if select else [])]
        pytester.runpytest_inprocess(*arguments)
        return pytester.path / name / "run.json"

    return run_into


@pytest.fixture
def run(run_into: Run, finished: Path) -> Run:
    """Return the file of the record of a run into an output root that no other run had."""

    def run(name: str, **changes: Any) -> Path:
        kept = finished / "-".join(map(str, (name, *chain(*changes.items()))))
        if not kept.exists():
            shutil.copytree(run_into(name, **changes).parent, kept)
        root = Path(name).absolute()
        shutil.copytree(kept, root, dirs_exist_ok=True)
        return root / "run.json"

    return run


def compare(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command; return its exit status, what it prints, and its errors."""
    capsys.readouterr()
    status = main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the record of a run."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return path


def test_two_equal_runs_do_not_differ(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = compare(capsys, run("one"), run("two"))
    assert status == 0
    assert out.splitlines()[2:4] == ["", "no differences"]


def test_a_figure_that_changed_is_found_and_shown_beside_the_earlier_one(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before, after = run("one"), run("two", colour="red")
    page = tmp_path / "new" / "page.html"
    status, out, _ = compare(capsys, before, after, f"--html={page}")
    assert status == 0
    assert "nothing is worse" in out
    assert "  test_suite/test_answers/line.png  figure differs\n" in out
    assert "answers.csv" not in out
    html = page.read_text()
    assert len(set(re.findall(r"data:image/png;base64,[\w+/=]+", html))) == 2
    assert html.count("<img ") == 4, "both, and one upon the other"
    assert "<script" not in html


def test_a_gate_that_fell_is_worse_and_its_flips_are_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run("one", wrong=5), run("two", wrong=30, colour="red")
    status, out, _ = compare(capsys, before, after)
    assert status == 1
    assert "WORSE: 1 gate fell\n" in out
    assert re.search(r"  sums  100 +95\.0% -> 70\.0%, -25\.0 points \[-\d+\.\d, -\d+\.\d\]  25 +0 .* FAIL", out)
    assert re.search(r'q005  1/1 +0/1 +"5 \+ 1"', out)
    assert "100 rows" not in out
    assert "  25 rows of both differ, in is_correct\n" in out
    assert "row q005: is_correct True -> False\n" in out


def test_a_gate_that_lost_less_than_chance_takes_is_not_worse(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = compare(capsys, run("one", wrong=5), run("two", wrong=6))
    assert status == 0
    assert "95.0% -> 94.0%" in out


def test_a_test_that_passed_and_fails_is_worse_and_the_other_way_round_is_not(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(record: dict[str, Any]) -> None:
        record["tests"][1] |= {"outcome": "failed", "message": "assert 3 == \x1b[31m4"}

    before, after = run("one"), rewritten(run("two"), failed)
    status, out, _ = compare(capsys, before, after)
    assert status == 1
    assert "WORSE: 1 test that passed fails\n" in out
    assert "  passed -> failed  test_suite.py::test_first: assert 3 == \\x1b[31m4\n" in out
    assert compare(capsys, after, before)[0] == 0


def test_a_call_that_got_twice_as_slow_is_told_and_fails_on_demand(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = run("one", pause=0.2), run("two", pause=1.6)
    status, out, _ = compare(capsys, before, after)
    assert status == 0
    assert re.search(r"\ntimes\n  \d+ ms -> 1\.\d s  \d\.\d× slower  call answers\n", out)
    assert compare(capsys, before, after, "--slower-fails")[0] == 1
    assert compare(capsys, after, before, "--slower-fails")[0] == 0


def test_runs_of_one_output_directory_are_named_as_git_names_commits(
    run_into: Run, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    run_into("out", select="first")
    run_into("out", colour="red")
    status, out, _ = compare(capsys, "last~1", "last", "--output-dir", pytester.path / "out")
    assert status == 0
    assert "only in the later run: 1 test: test_suite.py::test_answers\n" in out
    run_into("out")
    status, out, _ = compare(capsys, "last~1", "last", "--output-dir", pytester.path / "out")
    assert "line.png  figure differs (that of the earlier run can't be shown: it has changed since the run)\n" in out
    ids = sorted(path.stem for path in (pytester.path / "out" / "runs").glob("*.json"))
    assert compare(capsys, ids[0], ids[-1], "--output-dir", pytester.path / "out")[0] == 0


def test_without_items_the_recorded_accuracies_are_shown_and_said_to_be_that(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = run("one", wrong=5), run("two", wrong=30, colour="red")
    for path in (after.parent / "runs" / "items").iterdir():
        path.unlink()
    _, out, _ = compare(capsys, before, after)
    assert re.search(r"  sums  95\.0% NO BASELINE -> 70\.0% NO BASELINE  \(per-item results .* can't be read", out)


def test_the_json_has_all_of_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = run("one", wrong=5), run("two", wrong=30, colour="red")
    status, out, _ = compare(capsys, before, after, "--json")
    found = json.loads(out)
    assert (status, found["worse"], found["different"]) == (1, True, True)
    (gate,) = found["gates"]
    assert (gate["gate"], gate["verdict"], gate["worse"], len(gate["flips"])) == ("sums", "FAIL", 25, 25)
    assert {file["path"].rpartition("/")[2] for file in found["files"]} == {"answers.csv", "line.png"}


def test_what_a_model_says_is_inert_in_the_page(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hostile = '<script>alert(1)</script>"onload=x \x1b]0;title\x07 \u202etxt'

    def spoilt(record: dict[str, Any]) -> None:
        record["tests"][1] |= {"outcome": "failed", "message": hostile}
        record["versions"]["numpy"] = hostile
        record["artifacts"][0] |= {"path": "../../" + hostile, "sha256": "0" * 64}

    before, after = run("one"), rewritten(run("two"), spoilt)
    page = tmp_path / "page.html"
    _, out, _ = compare(capsys, before, after, f"--html={page}")
    html = page.read_text()
    for text in (out, html):
        assert not set("\x1b\x07\u202e") & set(text)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_file_is_a_run_by_what_it_holds(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    log.write_text('{"eval": {}, "samples": []}')
    assert not is_run(str(log))
    log.write_text('{"schema": 1, "ending": "finished", "calls": [], "gates": []}')
    assert is_run(str(log))
    assert not is_run(str(tmp_path / "missing.csv"))
    assert is_run("20260131T1015")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["last", "results.csv"], "a run can't be compared with a file of results\n"),
        (["last", "last~7", "--by=kind"], "--by is for files of results\n"),
        (["results.csv", "results.csv", "--json"], "--json is for runs\n"),
        (["results.csv", "results.csv", "--slower-fails"], "--slower-fails is for runs\n"),
        (["last", "last~7"], "there is no run 'last'"),
        (["20260101", "last"], "there is no run '20260101'"),
    ],
)
def test_a_wrong_command_line_is_an_error_in_three_parts(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("results.csv").write_text("id,correct\nq1,true\n")
    status, out, err = compare(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert "\n  where: " in err
    assert "\n  what to do: " in err
