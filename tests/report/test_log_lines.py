"""What a log has of a running batch: lines at intervals, also in a long silence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

from pytest_modal.report import log_lines

SUITE = """
    import time

    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container")
    def model():
        return 1


    @pytest_modal.fixture(params=range({calls}))
    def answers(model, request):
        print("step", request.param)
        time.sleep({seconds})
        if request.param == 3:
            raise ValueError
        return request.param


    def test_answers(answers): pass
"""


def write_suite(pytester: pytest.Pytester, calls: int, seconds: float) -> None:
    pytester.makepyfile(test_it=SUITE.replace("{calls}", str(calls)).replace("{seconds}", str(seconds)))


def progress(result: pytest.RunResult) -> list[str]:
    """Return the lines about the running batch."""
    return [line for line in result.outlines if line.startswith("modal: ") and "mock mode" not in line]


def test_each_tenth_has_a_line(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 40, 0)
    lines = progress(pytester.runpytest("-p", "no:randomly"))
    assert lines[0] == "modal: loading model"
    assert lines[1:] == [f"modal: {done}/40 calls done, 1 failed" for done in range(4, 44, 4)]


def test_where_calls_are_slow_a_line_comes_by_time(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "STATUS", 0.5)
    write_suite(pytester, 3, 0)
    pytester.makepyfile(test_it=SUITE.replace("{calls}", "30").replace("{seconds}", "0.2 if request.param < 6 else 0"))
    done = [int(found[1]) for line in progress(pytester.runpytest()) if (found := re.search(r"(\d+)/30", line))]
    assert [each for each in done if each % 3] != []
    # Not more often than that: a line each half second at most, besides the tenths.
    assert len(done) <= 10 + 4


def test_a_long_silence_says_what_it_waits_for(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "SILENCE", 0.6)
    write_suite(pytester, 2, 1.5)
    lines = progress(pytester.runpytest("-p", "no:randomly"))
    assert_lines(lines, ["modal: 0/2 calls done; answers[0] for * s; * s so far", "modal: 1/2 calls done"])
    assert len(lines) <= 9


def test_on_modal_too(pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "SILENCE", 1.0)
    modal_server.fail("slow_start", seconds=4)
    write_suite(pytester, 2, 2.5)
    lines = progress(pytester.runpytest("--modal", "-p", "no:randomly"))
    assert_lines(
        lines,
        [
            "modal: connecting to Modal",
            "modal: starting a session, building images where they are new",
            "modal: session ap-*",
            "modal: 0/2 calls done; waiting for a container; * s so far",
            "modal: container up: T4 on Tesla T4",
            "modal: 0/2 calls done; answers[0] on T4 for * s; * s so far; about $*",
            "modal: 2/2 calls done",
        ],
    )


def test_a_quiet_run_has_none(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 20, 0)
    assert progress(pytester.runpytest("-q")) == []
    lines = pytester.runpytest("-q", "-s", "-p", "no:randomly").outlines
    assert [line for line in lines if " | " in line] == [f"answers[{number}] | step {number}" for number in range(20)]


def test_a_verbose_run_has_each_call_besides(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 20, 0)
    usual = progress(pytester.runpytest("-p", "no:randomly"))
    verbose = progress(pytester.runpytest("-p", "no:randomly", "-v"))
    assert [line for line in usual if line not in verbose] == []
    assert_lines(verbose, ["modal: running answers[0]", "modal: 1/20 calls done", "modal: running answers[1]"])


def test_many_containers_that_do_the_same_are_not_listed(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    write_suite(pytester, 12, 0.6)
    pytester.makeini("[pytest]\naddopts = -p no:randomly")
    path = pytester.path / "test_it.py"
    path.write_text(path.read_text().replace('scope="container"', 'scope="container", max_containers=5', 1))
    lines = progress(pytester.runpytest_subprocess("--modal"))
    loads = [line for line in lines if line.startswith("modal: loading model")]
    assert loads == ["modal: loading model"] * 2 + ["modal: loading model (and others, which are not listed)"]


def test_without_a_terminal_reporter_nothing_is_written(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 2, 0)
    result = pytester.runpytest_subprocess("-p", "no:terminal")
    assert result.ret == 0
    assert result.outlines == []


def test_workers_of_xdist_report_to_the_controller(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    write_suite(pytester, 2, 1.5)
    # The constant is the worker's, which is a process of its own.
    pytester.makeconftest("from pytest_modal.report import log_lines\nlog_lines.SILENCE = 0.6\n")
    result = pytester.runpytest_subprocess("-n2", "-p", "no:randomly")
    lines = [line.partition("modal: ")[2] for line in result.outlines if "modal: " in line]
    assert_lines(lines, ["loading model", "0/2 calls done; answers[0] for * s; * s so far", "1/2 calls done"])
    quiet = pytester.runpytest_subprocess("-n2", "-q", "--cache-clear")
    assert [line for line in quiet.outlines if "calls done" in line] == []


def test_output_that_goes_into_a_pipe_holds_no_control_codes(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 4, 0)
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly"]
    output = subprocess.run(command, cwd=pytester.path, capture_output=True, check=False).stdout
    assert b"\x1b" not in output
    assert b"\r" not in output
