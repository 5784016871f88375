"""The record of a run: everything that happened is in `run.json`, wherever it ran."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal
from recorded import SUITE, by_name, run_json, runs


def test_the_record_of_a_local_run_has_calls_tests_gates_and_files(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=3, failed=1, errors=1, skipped=1, xfailed=1)
    record = run_json(pytester)
    assert (record["mode"], record["ending"], record["exit_status"]) == ("local", "finished", 1)
    assert record["outcomes"] == {"passed": 3, "failed": 1, "error": 1, "skipped": 1, "xfailed": 1}
    assert [each["what"] for each in record["events"]] == ["planning"]
    assert record["versions"]["pytest"] == pytest.__version__

    calls = {each["label"]: each for each in record["calls"]}
    assert {label: each["status"] for label, each in calls.items()} == {"doubled": "ok", "broken": "raised"}
    doubled, broken = calls["doubled"], calls["broken"]
    assert doubled["printed"] == "loading\ndoubling\n"
    assert doubled["tests"] == [f"test_it.py::test_{name}" for name in ("doubled", "wrong", "known")]
    assert "ZeroDivisionError: by zero" in broken["error"]
    assert broken["where"] == "test_it.py:13"

    (load,) = record["loads"]
    containers = {each["id"]: each for each in record["containers"]}
    container = containers[doubled["container"]]
    assert (load["label"], load["container"], load["ok"]) == ("model", container["id"], True)
    for each in (load, doubled):
        assert container["started"] <= each["started"] <= each["started"] + each["seconds"] <= container["ended"]
    assert container["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert container["machine"]["torch"] == ""  # nothing imported it

    (gate,) = record["gates"]
    assert (gate["gate"], gate["verdict"], gate["compared"]) == ("even", "NO BASELINE", False)
    (artifact,) = (each for each in record["artifacts"] if each["kind"] == "json")
    content = (pytester.path / "modal_output" / artifact["path"]).read_bytes()
    assert artifact["sha256"] == hashlib.sha256(content).hexdigest()


def test_tests_have_their_phases_with_what_failed_and_where(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-p", "no:randomly")
    tests = by_name(run_json(pytester))
    assert {name: each["outcome"] for name, each in tests.items()} == {
        "test_doubled": "passed",
        "test_wrong": "failed",
        "test_broken": "error",
        "test_skipped": "skipped",
        "test_known": "xfailed",
        "test_gate": "passed",
    }
    wrong, broken = tests["test_wrong"], tests["test_broken"]
    assert (wrong["file"], wrong["line"], wrong["failed_at"]) == ("test_it.py", 21, ["test_it.py", 23])
    setup, call, teardown = wrong["phases"]
    assert ("assert doubled == [1]" in call["text"], setup["text"], teardown["text"]) == (True, "", "")
    # What calls print is in the calls.
    assert [phase["sections"] for phase in wrong["phases"]] == [[], [["Captured stdout call", "about to fail\n"]], []]
    assert broken["message"] == "ZeroDivisionError: by zero (in broken)"
    assert broken["failed_at"] == ["test_it.py", 15]
    assert (tests["test_skipped"]["message"], tests["test_known"]["message"]) == ("not today", "known")


def test_workers_of_xdist_leave_one_record_that_says_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-p", "no:randomly")
    alone = run_json(pytester)
    pytester.runpytest_subprocess("-p", "no:randomly", "-n2", timeout=90)
    shared = run_json(pytester)
    assert len(runs(pytester)) == 2
    for name in ("outcomes", "selection", "mode", "versions", "problems", "together", "artifacts"):
        assert shared[name] == alone[name], name
    for name in ("calls", "tests", "gates", "loads", "containers"):
        assert len(shared[name]) == len(alone[name]), name
    assert {each["label"]: each["tests"] for each in shared["calls"]} == {
        each["label"]: each["tests"] for each in alone["calls"]
    }
    assert by_name(shared)["test_wrong"]["failed_at"] == by_name(alone)["test_wrong"]["failed_at"]
    assert shared["gates"][0]["items"] == alone["gates"][0]["items"] != ""


def test_runs_on_modal_and_their_replays_are_recorded(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    suite = SUITE.replace('raise ZeroDivisionError("by zero")', "return 1")
    pytester.makepyfile(test_it=suite)
    pytester.runpytest_subprocess("--modal", "--modal-record", "-p", "no:randomly", timeout=90)
    record = run_json(pytester)
    assert record["mode"] == "modal"
    (session,) = record["sessions"]
    assert session["id"].startswith("ap-")
    steps = ["planning", "connecting", "images and start", "waiting for a container", "closing"]
    assert [each["what"] for each in record["events"]] == steps
    containers = {each["gpu"]: each for each in record["containers"]}
    assert {gpu: each["machine"]["gpu"] for gpu, each in containers.items()} == {
        "T4": "Tesla T4",
        "H100": "NVIDIA H100 80GB HBM3",
    }
    assert {call["container"] for call in record["calls"]} == {each["id"] for each in record["containers"]}
    assert containers["T4"]["machine"]["memory"] == 15 << 30
    for each in record["containers"]:
        assert each["ended"] - each["started"] == pytest.approx(each["seconds"])
    assert record["cost"]["dollars"] == pytest.approx(sum(each["dollars"] for each in record["containers"]))

    pytester.runpytest_subprocess("--modal-mode=replay", "-p", "no:randomly", timeout=90)
    replayed = run_json(pytester)
    assert (replayed["mode"], replayed["containers"], replayed["cost"]) == ("replay", [], None)
    assert all(call["recorded"] and call["container"] == "" for call in replayed["calls"])
    assert replayed["selection"] != record["selection"]


def test_fresh_rounds_of_a_suspicious_gate_are_in_the_record(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_gate_confirm = 2\nmodal_local_env = SHARE\n")
    pytester.makepyfile(
        test_it="""
        import os, pytest_modal

        @pytest_modal.fixture
        def rows():
            right = int(os.environ["SHARE"])
            return [{"id": n, "correct": n < right, "input": f"q{n}", "output": str(n < right)} for n in range(200)]

        def test_gate(rows, accuracy_gate): accuracy_gate("g", rows)
        """
    )
    pytester._monkeypatch.setenv("SHARE", "190")
    pytester.runpytest_subprocess("--modal-update-baselines", timeout=90).assert_outcomes(passed=1)
    pytester._monkeypatch.setenv("SHARE", "120")
    pytester.runpytest_subprocess(timeout=90).assert_outcomes(failed=1)
    record = run_json(pytester)
    assert [call["label"] for call in record["calls"]] == ["rows", "rows, round 2", "rows, round 3"]
    (gate,) = record["gates"]
    assert [each["what"] for each in gate["rounds"]] == ["recorded", *["round"] * 5]
    assert gate["flips_in_all"] == len(gate["flips"]) == 70
    assert gate["flips"][0] == {
        "id": "120",
        "direction": "worse",
        "was": "True",
        "now": "False",
        "input": "q120",
        "right_then": "5/5",
        "right_now": "0/3",
    }


def test_a_suite_without_gpu_tests_is_recorded_once_it_writes_files(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        def test_before(): pass
        def test_writes(output_dir): (output_dir / "a.txt").write_text("a")
        def test_asks(request): request.getfixturevalue("output_dir")
        def test_after(): assert 0
        """
    )
    pytester.runpytest("-p", "no:randomly")
    record = run_json(pytester)
    assert (record["mode"], record["outcomes"]) == ("none", {"passed": 3, "failed": 1})
    assert [*by_name(record)] == ["test_writes", "test_asks"]
    assert [phase["when"] for phase in by_name(record)["test_asks"]["phases"]] == ["setup", "call", "teardown"]


@pytest.mark.parametrize("option", ["--modal-plan", "--collect-only"])
def test_a_run_that_runs_no_test_leaves_no_record(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest(option)
    assert not (pytester.path / "modal_output").exists()


def test_a_suite_without_anything_of_the_plugin_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_plain(): pass")
    pytester.runpytest_subprocess("-n2", timeout=60).assert_outcomes(passed=1)
    assert not (pytester.path / "modal_output").exists()


def test_the_last_runs_are_kept_and_others_deleted(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_runs = 2\n")
    pytester.makepyfile(test_it="def test_it(output_dir): pass")
    for _ in range(3):
        pytester.runpytest()
    kept = runs(pytester)
    assert len(kept) == 2
    assert run_json(pytester)["id"] == kept[-1]


def test_no_run_is_kept_where_the_project_wants_none(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_runs = 0\n")
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-k", "test_gate")
    assert run_json(pytester)["gates"][0]["items"] == ""
    assert not (pytester.path / "modal_output/runs").exists()


def test_whatever_a_test_says_the_record_is_json_in_utf8_without_secrets(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "hunter2-hunter2")
    pytester.makepyfile(
        test_it=r"""
        import pytest

        def test_hostile(output_dir):
            print("token hunter2-hunter2", "\x00\x1b[31m")
            raise ValueError("\udc80 </script> \u202e" + "x" * 1_000_000)

        @pytest.mark.parametrize("text", ["\udcff"], ids=["\udcff-é"])
        def test_name(output_dir, text): pass
        """
    )
    pytester.runpytest_subprocess(
        "-p", "no:terminal", "-p", "no:randomly", "-k", "test_hostile or test_name or hunter2-hunter2"
    )
    text = (pytester.path / "modal_output/run.json").read_bytes().decode("utf-8")
    assert "hunter2" not in text
    record = run_json(pytester)
    assert record["outcomes"] == {"failed": 1, "passed": 1}
    hostile = by_name(record)["test_hostile"]
    assert record["command"][-1] == "test_hostile or test_name or ***"
    shown = hostile["phases"][1]["text"]
    assert "characters are left out here" in shown
    assert len(shown) < 201_000
    assert r"ValueError: \udc80 </script>" in shown
    assert hostile["phases"][1]["sections"] == [["Captured stdout call", "token *** \x00\x1b[31m\n"]]


def test_the_commit_is_that_of_the_project_and_says_whether_the_tree_is_clean(pytester: pytest.Pytester) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=pytester.path, check=True, capture_output=True, text=True
        ).stdout.strip()

    pytester.makepyfile(test_it="def test_it(output_dir): pass")
    Path(pytester.path, ".gitignore").write_text("__pycache__\nrunpytest*\nstd*\n")
    git("init")
    git("add", "-A")
    git("commit", "-m", "Begin")
    pytester.runpytest_subprocess("-p", "no:cacheprovider")
    record = run_json(pytester)
    assert (record["commit"], record["branch"], record["clean"]) == (git("rev-parse", "HEAD"), "main", True)
    assert record["id"].endswith(f"-{record['commit'][:8]}")
    Path(pytester.path, "more.py").write_text("x = 1\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert run_json(pytester)["clean"] is False


def test_results_of_an_earlier_run_are_reused_and_have_no_container_in_this_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest("-k", "doubled")
    pytester.runpytest("-k", "doubled", "--modal-resume")
    record = run_json(pytester)
    (call,) = record["calls"]
    assert (call["reused"], call["status"], call["container"], call["started"]) == (True, "ok", "", None)
    assert (record["containers"], record["loads"]) == ([], [])


def test_a_test_that_is_run_again_is_recorded_as_it_ended(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        tries = []
        def test_flaky(output_dir):
            tries.append(1)
            assert len(tries) > 1
        """
    )
    pytester.runpytest("--reruns=1").assert_outcomes(passed=1)
    record = run_json(pytester)
    test = by_name(record)["test_flaky"]
    assert (test["outcome"], [phase["outcome"] for phase in test["phases"]]) == ("passed", ["passed"] * 3)
    assert record["outcomes"] == {"passed": 1}


def test_clean_leaves_the_records_of_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=SUITE.replace("def test_wrong", "def no_test").replace("def test_broken", "def nor_this")
    )
    pytester.runpytest().assert_outcomes(passed=3, skipped=1, xfailed=1)
    Path(pytester.path, "modal_output/old.txt").write_text("old")
    before = runs(pytester)
    result = pytester.runpytest("--modal-clean")
    result.stdout.fnmatch_lines(["modal: deleted 1 file in modal_output that no test wrote: old.txt"])
    assert runs(pytester)[:1] == before
    gate = run_json(pytester)["gates"][0]
    items = json.loads(Path(pytester.path, "modal_output/runs/items", f"{gate['items']}.json").read_text())
    assert len(items["ids"]) == 50
