"""Runs that are cut short leave a valid record of what is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from literal_lines import assert_lines
from recorded import SUITE, by_name, run_json, runs

from pytest_modal.cli.main import main

SLOW = """
    import time
    import pytest_modal

    @pytest_modal.fixture(params=[1, 2])
    def value(request):
        if request.param == 2:
            open(FILE, "w").close()
            time.sleep(60)
        return request.param

    def test_value(value): pass
"""
INTERRUPTS = """
    import os, signal, time
    import pytest_modal

    @pytest_modal.fixture
    def value(): return 1

    def test_first(value): pass

    def test_ends(value):
        os.kill(os.getpid(), signal.{name})
        time.sleep(10)

    def test_never(value): pass
"""


@contextmanager
def started(pytester: pytest.Pytester, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run pytest on a batch until its second call runs."""
    seen = pytester.path / "seen"
    pytester.makepyfile(test_it=f"FILE = {str(seen)!r}\n" + "\n".join(line[4:] for line in SLOW.splitlines()))
    pytester.makeini("[pytest]\nmodal_local_isolation = off\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", *arguments],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not seen.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def test_pytest_that_is_killed_leaves_what_was_planned(pytester: pytest.Pytester) -> None:
    with started(pytester, []) as process:
        process.kill()
        process.wait(30)
    record = run_json(pytester)
    assert (record["ending"], record["exit_status"], record["mode"]) == ("unfinished", None, "local")
    assert [call["status"] for call in record["calls"]] == ["missing"] * 2
    assert {test["outcome"] for test in record["tests"]} == {"not finished"}
    assert [test["calls"] for test in record["tests"]] == [[call["key"]] for call in record["calls"]]


def test_pytest_that_is_killed_while_tests_run_leaves_the_calls(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=INTERRUPTS.format(name="SIGKILL"))
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    record = run_json(pytester)
    assert (record["ending"], [call["status"] for call in record["calls"]]) == ("unfinished", ["ok"])
    assert len(record["containers"]) == 1
    # It had no time for the page, which is made from the record.
    assert main(["report", "--output-dir", str(pytester.path / "modal_output")]) == 0
    page = (pytester.path / "modal_output/report.html").read_text(encoding="utf-8")
    assert "not finished" in page
    assert "test_never" in page


@pytest.mark.parametrize("arguments", [[], ["-n2"]], ids=["alone", "xdist"])
def test_ctrl_c_while_the_batch_runs(pytester: pytest.Pytester, arguments: list[str]) -> None:
    with started(pytester, arguments) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    record = run_json(pytester)
    assert (record["ending"], record["exit_status"], record["mode"]) == ("interrupted", 2, "local")
    assert len(record["calls"]) == len(record["tests"]) == 2
    assert {test["outcome"] for test in record["tests"]} == {"not finished"}
    if not arguments:
        assert [call["status"] for call in record["calls"]] == ["ok", "missing"]


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 2), ("SIGTERM", 143)])
def test_signals_while_tests_run(pytester: pytest.Pytester, name: str, status: int) -> None:
    pytester.makepyfile(test_it=INTERRUPTS.format(name=name))
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    record = run_json(pytester)
    assert (record["ending"], record["exit_status"]) == ("interrupted", status)
    outcomes = {name: test["outcome"] for name, test in by_name(record).items()}
    assert outcomes == {"test_first": "passed", "test_ends": "not finished", "test_never": "not finished"}


@pytest.mark.parametrize("option", ["--exitfirst", "--maxfail=1"])
def test_a_run_that_ends_at_the_first_failure_is_finished(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest(option, "-p", "no:randomly").assert_outcomes(passed=1, failed=1)
    record = run_json(pytester)
    assert (record["ending"], record["exit_status"]) == ("finished", 1)
    outcomes = {name: test["outcome"] for name, test in by_name(record).items()}
    assert outcomes == {
        "test_doubled": "passed",
        "test_wrong": "failed",
        "test_known": "not finished",
        "test_broken": "not finished",
    }


def test_an_internal_error_of_pytest_is_a_problem_of_the_record(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_runtest_logfinish(nodeid):\n    if 'wrong' in nodeid: raise ValueError('oh')\n")
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    record = run_json(pytester)
    assert (record["ending"], record["exit_status"]) == ("interrupted", 3)
    assert record["problems"] == ["pytest ended by an error of its own or of a plugin: ValueError: oh"]
    assert by_name(record)["test_wrong"]["outcome"] == "failed"


def test_a_batch_that_can_not_be_run_is_a_problem_of_the_record(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_modal.run.local import LocalBackend

        def full(*arguments):
            raise OSError(28, "No space left on device")

        LocalBackend.run = full
        """
    )
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    record = run_json(pytester)
    assert record["ending"] == "finished"
    (problem,) = record["problems"]
    assert problem.startswith("the batch of GPU calls could not be run: No space left on device")
    assert by_name(record)["test_doubled"]["outcome"] == "error"


@pytest.mark.parametrize("in_the_way", ["run.json/x", "runs"])
def test_a_record_that_can_not_be_written_is_a_line_of_the_summary(pytester: pytest.Pytester, in_the_way: str) -> None:
    path = Path(pytester.path, "modal_output", in_the_way)
    path.parent.mkdir(parents=True)
    path.touch()
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest("-k", "doubled")
    result.assert_outcomes(passed=1, deselected=6)
    assert_lines(result.outlines, ["run.json was not written: *"])


def test_the_next_run_replaces_what_a_killed_one_has_left(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=INTERRUPTS.format(name="SIGKILL"))
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    pytester.makepyfile(test_it=INTERRUPTS.format(name="SIGCONT").replace("time.sleep(10)", ""))
    pytester.runpytest_subprocess("-p", "no:randomly", timeout=60).assert_outcomes(passed=3)
    assert run_json(pytester)["ending"] == "finished"
    assert len(runs(pytester)) == 2
