"""Runs are found as git finds commits, and records that can't be read say why."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import run_schema
from recorded import SUITE, run_json, runs

from pytest_modal.cli.main import main
from pytest_modal.gate.items import items_path, read_items
from pytest_modal.gate.judge.policy import Demands, Policy
from pytest_modal.gate.judge.verdict import judge_arms
from pytest_modal.records.reading import RecordError, find_record, find_run, previous_of, read_record, runs_in
from pytest_modal.records.renderers import Renderer, render
from pytest_modal.report.record import Record


@pytest.fixture
def three(pytester: pytest.Pytester) -> Path:
    """The output root of three runs, of which the second ran another test."""
    pytester.makepyfile(test_it=SUITE)
    for name in ("doubled", "gate", "doubled"):
        pytester.runpytest("-k", name)
    return pytester.path / "modal_output"


def test_names_of_runs(three: Path, pytester: pytest.Pytester) -> None:
    first, second, third = runs(pytester)
    assert [find_run(name, three).stem for name in ("last", "last~", "last~1", "last~2")] == [
        third,
        second,
        second,
        first,
    ]
    assert find_run(second, three).stem == second
    assert find_run(second[:-1], three).stem == second
    path = three / "run.json"
    assert find_record(str(path), three)["id"] == third
    assert find_record("last", three) == read_record(path)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("last~3", "there is no run 'last~3': 3 runs are kept"),
        ("2", "3 runs begin with '2': "),
        ("x", "there is no run 'x'"),
        ("", "there is no run ''"),
        ("last~x", "there is no run 'last~x'"),
    ],
)
def test_a_name_of_no_run_or_of_several_is_refused(three: Path, name: str, what: str) -> None:
    with pytest.raises(RecordError) as refused:
        find_run(name, three)
    first, where, remedy = str(refused.value).splitlines()
    assert first.startswith(what)
    assert (where, remedy.startswith("  what to do: ")) == (f"  where: {three / 'runs'}", True)


def test_without_a_history_the_last_run_is_that_of_run_json(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_runs = 0\n")
    pytester.makepyfile(test_it="def test_it(output_dir): pass")
    pytester.runpytest()
    root = pytester.path / "modal_output"
    assert find_run("last", root) == root / "run.json"
    with pytest.raises(RecordError, match="there is no run 'last~1': 0 runs are kept"):
        find_run("last~1", root)


def test_the_previous_run_is_the_last_one_of_the_same_tests(three: Path, pytester: pytest.Pytester) -> None:
    first, _, third = (read_record(path) for path in sorted(runs_in(three)))
    assert previous_of(third["id"], third["selection"], three) == first
    assert previous_of(first["id"], first["selection"], three) is None
    text = (three / "runs" / f"{first['id']}.json").read_text()
    (three / "runs" / f"{first['id']}.json").write_text(text.replace('"ending": "finished"', '"ending": "interrupted"'))
    assert previous_of(third["id"], third["selection"], three) is None


def test_pairs_are_tuples_again(three: Path) -> None:
    record = find_record("last", three)
    assert all(
        type(each) is tuple for test in record["tests"] for phase in test["phases"] for each in phase["sections"]
    )


DAMAGES: dict[str, tuple[Any, str]] = {
    "truncated": (lambda text: text[: len(text) // 2], "is damaged"),
    "a list": (lambda text: "[]", "is damaged: it is not a JSON object"),
    "not UTF-8": (lambda text: b"\xff" + text.encode(), "is damaged"),
    "another type": (lambda text: text.replace('"seconds": ', '"seconds": "x', 1).replace(",", '",', 1), "is damaged"),
    "a field less": (lambda text: text.replace('"seed"', '"sown"', 1), "is damaged: record: 'sown' is not known"),
    "infinite": (lambda text: text.replace('"exit_status": 0', '"exit_status": Infinity'), "is damaged"),
    "nested": (lambda text: "[" * 100_000, "is damaged"),
    "newer": (lambda text: text.replace('"schema": 1', '"schema": 2'), "has schema 2, and this pytest-modal knows 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_is_damaged_or_newer_says_so(pytester: pytest.Pytester, damage: str) -> None:
    pytester.makepyfile(test_it="def test_it(output_dir): pass")
    pytester.runpytest()
    path = pytester.path / "modal_output/run.json"
    make, what = DAMAGES[damage]
    damaged = make(path.read_text())
    path.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    with pytest.raises(RecordError) as refused:
        read_record(path)
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("the record of a run ")
    assert what in lines[0]
    assert lines[-2:][0] == f"  where: {path}"


def test_a_record_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"can't be read: No such file.*\n  where: .*\n  what to do: list the runs"):
        read_record(tmp_path / "run.json")


def test_items_of_two_runs_can_be_judged_as_arms(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(
        test_it="""
        import os
        def test_it(accuracy_gate):
            right = int(os.environ["RIGHT"])
            rows = [{"id": n, "correct": n < right, "input": f"q{n}", "output": "é" * n * 20} for n in range(100)]
            accuracy_gate("g", rows)
        """
    )
    digests = []
    for right in ("90", "90", "50"):
        monkeypatch.setenv("RIGHT", right)
        pytester.runpytest()
        digests.append(run_json(pytester)["gates"][0]["items"])
    assert digests[0] == digests[1] != digests[2]
    kept = pytester.path / "modal_output/runs"
    before, after = read_items(kept, digests[0]), read_items(kept, digests[2])
    assert (before.accuracy, after.accuracy, before.inputs[3]) == (0.9, 0.5, "q11")
    assert max(len(each or "") for each in before.outputs) < 1_100
    result = judge_arms("g", after, before, demands=Demands(), policy=Policy(gates=1), test="")
    assert str(result.verdict) == "FAIL"
    items_path(kept, digests[2]).write_text("{}")
    with pytest.raises(ValueError, match=r"per-item results of a gate are damaged: .*\n  where: "):
        read_items(kept, digests[2])


def test_items_that_no_run_names_are_deleted_after_a_while(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_runs = 1\n")
    pytester.makepyfile(test_it=SUITE)
    items = pytester.path / "modal_output/runs/items"
    pytester.runpytest("-k", "gate")
    (mine,) = items.glob("*.json")
    other, new = items / f"{'0' * 32}.json", items / f"{'1' * 32}.json"
    for path in (other, new):
        path.write_text("{}")
    for path in (mine, other):
        os.utime(path, (1, 1))
    pytester.runpytest("-k", "gate")
    assert sorted(items.glob("*.json")) == sorted([mine, new])


def test_the_command_lists_the_runs_newest_first(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["runs", "--output-dir", str(three)]) == 0
    titles, *rows = capsys.readouterr().out.splitlines()
    assert titles.split() == ["id", "date", "mode", "GPU", "tests", "gates", "cost", "seconds"]
    assert [row.split()[0] for row in rows] == [path.stem for path in runs_in(three)]
    assert "1 passed" in rows[0]
    assert "1 NO BASELINE" in rows[1]
    assert main(["runs", "--json", "--output-dir", str(three)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in facts] == [path.stem for path in runs_in(three)]
    assert facts[1]["gates"] == {"NO BASELINE": 1}


def test_the_command_says_where_there_is_none_and_which_can_not_be_read(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_MODAL_OUTPUT_DIR", str(tmp_path / "none"))
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.startswith(
        f"no runs in {tmp_path / 'none' / 'runs'}: run pytest with GPU tests first"
    )
    newest, *_ = runs_in(three)
    newest.write_text("{")
    assert main(["runs", "--output-dir", str(three)]) == 2
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "the record of a run is damaged" in shown.err


PYTEST_TOML = '[pytest]\nmodal_output_dir = "out"\n'


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\nmodal_output_dir = out\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nmodal_output_dir = 'out'\n"),
        ("tox.ini", "[pytest]\nmodal_output_dir = out\n"),
        pytest.param("pytest.toml", PYTEST_TOML, marks=pytest.mark.skipif("pytest.version_tuple < (9,)")),
    ],
)
def test_the_command_finds_the_runs_where_the_ini_of_the_project_has_them(
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    text: str,
) -> None:
    pytester.path.joinpath(file).write_text(text)
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-k", "doubled").assert_outcomes(passed=1)
    (run,) = runs_in(pytester.path / "out")
    for directory in (pytester.path, pytester.mkdir("below")):
        monkeypatch.chdir(directory)
        capsys.readouterr()
        assert main(["runs"]) == 0
        assert capsys.readouterr().out.splitlines()[1].startswith(run.stem)
        assert main(["report", "last"]) == 0
        assert capsys.readouterr().out.strip() == str(pytester.path / "out" / "report.html")


def test_the_command_works_beside_a_configuration_that_is_wrong(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (three.parent / "pytest.ini").write_text("[pytest\n")
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_page_of_an_earlier_run_is_made_from_its_record(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    page = tmp_path / "pages/second.html"
    assert main(["report", "last~1", "--output-dir", str(three), f"--html={page}"]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert "NO BASELINE" in page.read_text(encoding="utf-8").upper()
    assert main(["report", "last~7", "--output-dir", str(three)]) == 2
    assert "there is no run 'last~7': 3 runs are kept" in capsys.readouterr().err
    assert main(["report", "--output-dir", str(three), f"--html={page / 'below.html'}"]) == 2
    assert "name a file that can be written, --html=PATH" in capsys.readouterr().err


def test_what_a_renderer_can_not_write_is_a_line(three: Path, pytester: pytest.Pytester) -> None:
    made: list[str] = []

    def full(config: pytest.Config, record: Record, previous: Record | None) -> None:
        raise OSError(28, "No space left on device")

    def wrong(config: pytest.Config, record: Record, previous: Record | None) -> None:
        raise KeyError("x")

    def good(config: pytest.Config, record: Record, previous: Record | None) -> None:
        made.append(record["id"])

    record, config = find_record("last", three), pytester.parseconfig()
    renderers = [Renderer("the page", full), Renderer("the table", wrong), Renderer("the rest", good)]
    lines = list(render(config, record, None, renderers))
    assert lines == [
        "the page was not written: [Errno 28] No space left on device",
        "the table was not written: KeyError: 'x' (in pytest-modal itself: report this)",
    ]
    assert made == [record["id"]]
    early = [Renderer("late", full), Renderer("early", good, early=True)]
    assert list(render(config, {**record, "ending": "unfinished"}, None, early)) == []
    assert len(made) == 2


def test_the_schema_and_the_page_are_as_the_types_say() -> None:
    remedy = "run python tests/run_schema.py"
    assert run_schema.SCHEMA.read_text(encoding="utf-8") == run_schema.schema_text(), remedy
    page = run_schema.PAGE.read_text(encoding="utf-8")
    assert page == run_schema.page(page), remedy
