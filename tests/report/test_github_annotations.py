"""Annotations: workflow commands at the lines of a repository."""

from __future__ import annotations

import re
from pathlib import Path

import github_record as given
import pytest

from pytest_modal import wording
from pytest_modal.report.annotations import Repository, commands, repository_of
from pytest_modal.report.record import Record

HERE = Repository(Path("/repository"), Path("/repository"))
_COMMAND = re.compile(r"::(?P<kind>error|warning) (?P<properties>[^:\n]*)::(?P<data>[^\r\n]*)")


def unescaped(text: str) -> str:
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def read(line: str) -> dict[str, str]:
    """Read a command as the runner does."""
    match = _COMMAND.fullmatch(line)
    assert match is not None, line
    pairs = [pair.partition("=")[::2] for pair in match["properties"].split(",")]
    return {name: unescaped(value) for name, value in pairs} | {"kind": match["kind"], "data": unescaped(match["data"])}


def shown(record: Record, repository: Repository = HERE, *, other_plugin: bool = False) -> list[dict[str, str]]:
    return [*map(read, commands(record, repository, other_plugin=other_plugin))]


def test_a_call_that_raised_is_shown_at_its_line_and_a_gate_at_its_test() -> None:
    call, gate = shown(given.record())
    assert (call["kind"], call["file"], call["line"]) == ("error", "test_it.py", "12")
    assert call["title"] == "answer[1]: raised"
    assert call["data"] == ("answer[1] raised ValueError\n  where: test_it.py:12\nneeded by test_it.py::test_answer[1]")
    assert (gate["kind"], gate["file"], gate["line"]) == ("error", "test_it.py", "30")
    assert gate["title"] == "accuracy gate toy"
    assert gate["data"] == "toy  FAIL  100.0% -> 95.0%, -5.0 points [-8.0, -2.0]"


def test_a_call_of_which_no_test_tells_is_shown_at_its_function() -> None:
    (call,) = shown(given.record(tests=[], gates=[]))
    assert (call["file"], call["line"]) == ("test_it.py", "10")


def test_nothing_is_annotated_where_all_went_well() -> None:
    passed = [given.gate("a", "PASS"), given.gate("b", "IMPROVED"), given.gate("c", "NO BASELINE")]
    assert shown(given.record(calls=[given.call()], gates=passed)) == []


@pytest.mark.parametrize("verdict", ["CHANGED", "INCONCLUSIVE"])
def test_what_is_undecided_is_a_warning_unless_it_fails(verdict: str) -> None:
    record = given.record(calls=[], gates=[given.gate("a", verdict, notes=["a note"])], tests=[given.gate_test()])
    (warning,) = shown(record)
    assert (warning["kind"], warning["line"]) == ("warning", "30")
    assert warning["data"].endswith("\na note")
    (error,) = shown(record | {"gates": [given.gate("a", verdict, failed=True)]})  # type: ignore[arg-type]
    assert error["kind"] == "error"


def test_ten_of_a_kind_are_shown_and_the_last_sums_up_the_rest() -> None:
    calls = [given.call(f"c[{n}]", status="raised", error=f"c[{n}] raised", where=f"a.py:{n}") for n in range(30)]
    gates = [given.gate(f"g{n}") for n in range(20)] + [given.gate(f"w{n}", "CHANGED") for n in range(11)]
    found = shown(given.record(calls=calls, gates=gates, tests=[given.gate_test()]))
    errors = [each for each in found if each["kind"] == "error"]
    warnings = [each for each in found if each["kind"] == "warning"]
    assert (len(errors), len(warnings)) == (10, 10)
    assert [each["title"] for each in errors[:4]] == [
        "c[0]: raised",
        "accuracy gate g0",
        "c[1]: raised",
        "accuracy gate g1",
    ]
    assert errors[-1]["title"] == "41 more"
    assert errors[-1]["data"].splitlines()[0] == "accuracy gate g4: g4  FAIL  100.0% -> 95.0%, -5.0 points [-8.0, -2.0]"
    assert warnings[-1]["title"] == "2 more"


def test_calls_that_failed_at_one_line_are_one_annotation_and_what_most_tests_need_comes_first() -> None:
    alone = given.call("alone", status="raised", error="alone raised", where="b.py:1", tests=["t"])
    same = [given.call(f"c[{n}]", status="raised", error=f"c[{n}] raised", tests=[f"t{n}"]) for n in range(3)]
    blocked = given.call("next", status="dependency failed", error="needs c[0]", where="c.py:1", tests=["u"])
    found = shown(given.record(calls=[alone, *same, blocked], tests=[], gates=[]))
    assert [each["title"] for each in found] == ["c[0] and 2 more calls: raised", "alone: raised"]
    assert found[0]["data"] == "c[0] raised\nneeded by t0, t1, t2"


def test_a_service_that_fails_is_one_annotation_at_no_line() -> None:
    error = "no GPU within 60 s\n  where: {}\n  what to do: try again"
    calls = [given.call(f"c[{n}]", status="infrastructure", error=error.format(n)) for n in range(3)]
    (found,) = shown(given.record(calls=calls, gates=[]))
    assert "file" not in found
    assert found["title"] == "c[0] and 2 more calls: infrastructure"


def test_a_test_that_another_plugin_annotates_is_left_to_it() -> None:
    """Others annotate what fails in the call of a test; an error in its setup is seen by nobody else."""
    (call,) = shown(given.record(), other_plugin=True)
    assert call["title"] == "answer[1]: raised"
    in_call = given.record(tests=[given.failing_test(when="call"), given.gate_test()])
    assert shown(in_call, other_plugin=True) == []
    assert len(shown(in_call)) == 2


def test_hostile_texts_stay_within_their_command() -> None:
    lines = commands(given.hostile(), HERE)
    assert lines
    for line in lines:
        assert not re.search("[\x00-\x1f\x7f\u202e]", line)
        found = read(line)
        assert {*found} <= {"kind", "data", "file", "line", "title"}
        assert "@octocat" in found["data"]


@pytest.mark.parametrize("text", ["%", "%0A", "a:b", "a,b", "a\r\nb", "::error::x", "file=x,line=3::y"])
def test_properties_and_messages_arrive_as_they_were(text: str) -> None:
    record = given.record(
        tests=[], gates=[given.gate(line=text)], calls=[given.call(text, status="raised", error=text)]
    )
    call, gate = shown(record)
    assert call["data"].partition("\nneeded")[0] == wording.safe(text)
    assert call["title"] == f"{wording.safe_line(text)}: raised"
    assert gate["data"] == wording.safe(text)


@pytest.mark.parametrize(
    ("rootdir", "workspace", "path", "seen"),
    [
        ("", "", "tests/test_it.py", "tests/test_it.py"),
        ("packages/a", "", "test_it.py", "packages/a/test_it.py"),
        ("packages/a", "", "../b/helpers.py", "packages/b/helpers.py"),
        ("", "packages/a", "test_it.py", ""),
        ("", "", "/usr/lib/python3/json.py", ""),
        ("", "", "../elsewhere.py", ""),
        ("", "", "", ""),
    ],
)
def test_paths_are_those_of_the_repository(tmp_path: Path, rootdir: str, workspace: str, path: str, seen: str) -> None:
    assert Repository(tmp_path / rootdir, tmp_path / workspace).path(path) == seen


def test_a_workspace_behind_a_link_is_the_repository(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert Repository(tmp_path / "real", tmp_path / "link").path("test_it.py") == "test_it.py"
    assert Repository(tmp_path / "link", tmp_path / "real").path("test_it.py") == "test_it.py"


def test_only_a_workflow_is_annotated(tmp_path: Path) -> None:
    assert repository_of(tmp_path, {}) is None
    assert repository_of(tmp_path, {"GITHUB_ACTIONS": "false"}) is None
    assert repository_of(tmp_path / "a", {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path)}) == Repository(
        tmp_path / "a", tmp_path
    )
    assert repository_of(tmp_path, {"GITHUB_ACTIONS": "true"}) == Repository(tmp_path, tmp_path)


COMMANDS = ["::error::x", "  ::add-mask::x", "one\n\t::stop-commands::x", "a ##[group]x", "\u2003::error::x"]


@pytest.mark.parametrize("text", COMMANDS)
def test_in_a_workflow_what_was_printed_is_no_command(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert wording.safe(text) == text
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for found in (wording.safe(text), wording.safe_line(text)):
        assert not re.search(r"^\s*::|##\[", found, re.MULTILINE)
    assert wording.safe("a ::b\nstd::c ## [x] #[y]") == "a ::b\nstd::c ## [x] #[y]"
    assert wording.safe("::error::x") == "\\x3a:error::x"
    assert wording.safe("##[error]x") == "\\x23#[error]x"
