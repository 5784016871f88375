"""Beside other plugins, and under pytest's own options: the batch runs exactly once, whatever they do to the tests."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

# Every execution on the "GPU" leaves a line in the file that the environment names.
SUITE = """
    import pytest
    import pytest_modal


    def executed(name):
        import os
        with open(os.environ["EXECUTED"], "a") as file:  # modal: allow PM101
            file.write(name + "\\n")


    @pytest_modal.fixture(scope="container")
    def model():
        executed("model")
        return 10


    @pytest_modal.fixture(params=[1, 2, 3])
    def answer(request, model):
        executed(f"answer {request.param}")
        return request.param * model


    @pytest_modal.fixture(scope="session")
    def table(model):
        executed("table")
        print("made <b>the</b> table")
        return [model, model + 1]
"""
EACH_ONCE = ["answer 1", "answer 2", "answer 3", "model", "table"]

BROKEN = """
    @pytest_modal.fixture
    def broken(model):
        executed("broken")
        raise ValueError("no data")
"""


@pytest.fixture(autouse=True)
def _with_all_plugins(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS")


@pytest.fixture
def executed(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return what has run since the last call, in alphabetical order."""
    record = tmp_path / "executed"
    monkeypatch.setenv("EXECUTED", str(record))
    # A pytester begins without options, so it has to be there before.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-o modal_local_env=EXECUTED")

    def read() -> list[str]:
        names = sorted(record.read_text().splitlines()) if record.exists() else []
        record.unlink(missing_ok=True)
        return names

    return read


def suite(*parts: str) -> str:
    """Join the common fixtures and what one test adds."""
    return "\n".join(textwrap.dedent(part) for part in (SUITE, *parts))


Executed = Callable[[], list[str]]
ALL_TESTS = """
    def test_answer(answer): assert answer in (10, 20, 30)
    def test_table(table): assert table == [10, 11]
"""
SECOND_FAILS = """
    def test_answer(answer): assert answer != 20
    def test_table(table): assert table == [10, 11]
"""


# pytest-rerunfailures


RERUN = """
    attempts = []

    def test_flaky_here(answer):
        attempts.append(answer)
        assert attempts.count(answer) == 2, "the second attempt succeeds"

    @pytest.mark.flaky(reruns=3)
    class TestBroken:
        def test_broken(self, broken): pass
"""


@pytest.mark.parametrize(
    "options", ["--reruns=2", "--force-reruns=2", "--reruns=2 --reruns-mode=append", "-n2 --reruns=2"]
)
def test_reruns_use_the_batch_s_data_and_spare_what_can_only_fail_again(
    pytester: pytest.Pytester, executed: Executed, options: str
) -> None:
    pytester.makepyfile(suite(BROKEN, RERUN))
    result = pytester.runpytest_subprocess("-pno:randomly", *options.split())
    counts = result.parseoutcomes()
    assert counts == {"passed": 3, "rerun": 3, "errors": 1}
    assert executed() == ["answer 1", "answer 2", "answer 3", "broken", "model"]


def test_what_went_wrong_after_a_yield_reruns_no_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def untidy():
            yield 1
            raise RuntimeError("could not clean up")

        @pytest_modal.fixture
        def value(untidy): return untidy

        def test_untidy(value): assert value == 1
        """
    )
    assert pytester.runpytest_subprocess("--reruns=2").parseoutcomes() == {"passed": 1, "warnings": 1}


def test_what_could_not_be_planned_is_not_run_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def value(tmp_path): return 1

        def test_it(value): pass
        """
    )
    assert pytester.runpytest_subprocess("--reruns=2").parseoutcomes() == {"errors": 1}


# pytest-timeout


def test_the_clock_of_a_test_does_not_run_during_the_batch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time
        import pytest
        import pytest_modal

        @pytest_modal.fixture(params=[1, 2])
        def slow(request):
            import time
            time.sleep(2)
            return request.param

        def test_slow(slow): assert slow in (1, 2)

        @pytest.mark.timeout(1)
        def test_slow_here(slow): time.sleep(60)
        """
    )
    result = pytester.runpytest_subprocess("--timeout=2")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*Timeout (>1.0s)*"])


# pytest-cov


@pytest.mark.parametrize("settings", ["", "patch = subprocess\n", "parallel = true\nbranch = true\n"])
@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_coverage_is_of_local_lines_and_workers_leave_nothing(
    pytester: pytest.Pytester, executed: Executed, settings: str, workers: list[str]
) -> None:
    pytester.makepyfile(test_it=suite(ALL_TESTS))
    pytester.path.joinpath(".coveragerc").write_text(f"[run]\n{settings}")
    result = pytester.runpytest_subprocess("--cov=.", "--cov-report=term-missing", *workers)
    result.assert_outcomes(passed=4)
    assert executed() == EACH_ONCE
    report = result.stdout.str()
    assert "Coverage" not in result.stderr.str()
    assert "warning" not in report.lower()
    missing = re.search(r"^test_it\.py .*%\s+(.*)$", report, re.M)
    assert missing is not None, report
    # The bodies that ran on the GPU; nothing of them ran here.
    assert missing[1] == "6-8, 13-14, 19-20, 25-27"
    assert [path.name for path in pytester.path.glob(".coverage*")] == [".coverage", ".coveragerc"]


# pytest-html, --junitxml


SHOWN = """
    def test_table(table): assert table == []
    def test_broken(broken): pass
"""


@pytest.mark.usefixtures("executed")
def test_the_html_report_has_the_output_of_the_gpu_escaped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(suite(BROKEN, SHOWN))
    pytester.runpytest_subprocess("--html=report.html", "--self-contained-html")
    report = pytester.path.joinpath("report.html").read_text()
    assert "modal stdout" in report
    assert "ValueError: no data" in report
    assert "<b>the</b>" not in report


@pytest.mark.usefixtures("executed")
def test_junit_xml_has_the_remote_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(suite(BROKEN, SHOWN))
    pytester.runpytest_subprocess("--junitxml=junit.xml", "-ojunit_logging=all")
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "junit.xml").iter("testcase")}
    assert cases["test_table"].find("error") is None
    error = cases["test_broken"].find("error")
    assert error is not None
    assert "ValueError: no data" in (error.text or "")


# pytest-asyncio


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_coroutines_get_data_from_the_gpu(pytester: pytest.Pytester, executed: Executed, mode: str) -> None:
    pytester.makepyfile(
        suite(
            """
            import asyncio
            import pytest_asyncio

            @pytest_asyncio.fixture
            async def first(table):
                await asyncio.sleep(0)
                return table[0]

            def double(x):
                executed("double")
                return 2 * x

            @pytest.mark.asyncio
            async def test_table(table, first):
                await asyncio.sleep(0)
                assert [first, first + 1] == table

            @pytest.mark.asyncio
            @pytest.mark.parametrize("x", [1, 2])
            @pytest.mark.modal_gpu(function=double)
            async def test_marked(modal_result, x):
                assert modal_result == 2 * x
            """
        )
    )
    result = pytester.runpytest_subprocess(f"--asyncio-mode={mode}", "-oasyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=3)
    assert executed() == ["double", "double", "model", "table"]


# hypothesis


def test_properties_are_tried_against_one_result(pytester: pytest.Pytester, executed: Executed) -> None:
    pytester.makepyfile(
        suite(
            """
            from hypothesis import HealthCheck, given, settings, strategies as st

            @given(n=st.integers(0, 100))
            def test_table(table, n): assert table[0] + n >= 10

            def one():
                executed("one")
                return 1

            @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
            @given(n=st.integers(0, 100))
            @pytest.mark.modal_gpu(function=one)
            def test_marked(modal_result, n): assert modal_result + n > n

            class TestMethods:
                @given(n=st.integers(0, 100))
                def test_method(self, table, n): assert table[1] + n >= 11
            """
        )
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=3)
    assert executed() == ["model", "one", "table"]


# --pdb, --lf, --sw, -x


def test_the_debugger_sees_the_data(pytester: pytest.Pytester, executed: Executed) -> None:
    pytester.makepyfile(suite(BROKEN, SHOWN))
    child = pytester.spawn_pytest("--pdb -p no:randomly", expect_timeout=60)
    child.expect(r"\(Pdb\)")
    child.sendline("p ['seen', *table]")
    child.expect_exact("['seen', 10, 11]")
    child.sendline("continue")
    child.expect("ValueError: no data")
    child.expect(r"\(Pdb\)")
    child.sendline("continue")
    child.expect("1 failed, 1 error")
    child.expect(pexpect.EOF)
    assert executed() == ["broken", "model", "table"]


def test_last_failed_sends_the_calls_of_failed_tests_only(pytester: pytest.Pytester, executed: Executed) -> None:
    pytester.makepyfile(suite(SECOND_FAILS))
    pytester.runpytest_subprocess().assert_outcomes(passed=3, failed=1)
    assert executed() == EACH_ONCE
    pytester.runpytest_subprocess("--lf").assert_outcomes(failed=1)
    assert executed() == ["answer 2", "model"]
    pytester.runpytest_subprocess("--lf", "--modal-resume").assert_outcomes(failed=1)
    assert executed() == []


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ("-x", {"passed": 1, "failed": 1}),
        ("--sw", {"passed": 1, "failed": 1}),
        ("--maxfail=2", {"passed": 3, "failed": 1}),
    ],
)
def test_stopping_early_stops_tests_and_never_shortens_the_batch(
    pytester: pytest.Pytester, executed: Executed, options: str, seen: dict[str, int]
) -> None:
    pytester.makepyfile(suite(SECOND_FAILS))
    pytester.runpytest_subprocess("-pno:randomly", options).assert_outcomes(**seen)
    assert executed() == EACH_ONCE


def test_stepwise_goes_on_where_it_stopped(pytester: pytest.Pytester, executed: Executed) -> None:
    pytester.makepyfile(suite(SECOND_FAILS))
    pytester.runpytest_subprocess("-pno:randomly", "--sw")
    executed()
    pytester.makepyfile(suite(ALL_TESTS))
    pytester.runpytest_subprocess("-pno:randomly", "--sw").assert_outcomes(passed=3, deselected=1)
    assert executed() == ["answer 2", "answer 3", "model", "table"]


# pytest-randomly


def test_a_shuffled_suite_sends_the_same_batch(pytester: pytest.Pytester, executed: Executed) -> None:
    pytester.makepyfile(suite(ALL_TESTS))
    pytester.runpytest_subprocess("--randomly-seed=1").assert_outcomes(passed=4)
    assert executed() == EACH_ONCE
    pytester.runpytest_subprocess("--randomly-seed=2", "--modal-resume").assert_outcomes(passed=4)
    assert executed() == []


# What can't be written


def without_privileges(*arguments: str) -> tuple[str, ...]:
    """Return a command under which file permissions hold for root too."""
    drop = "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); os.execv(sys.executable, sys.argv[1:])"
    command = (sys.executable, "-m", "pytest", *arguments)
    return (sys.executable, "-c", drop, *command) if os.geteuid() == 0 else command


@pytest.mark.parametrize("options", [[], ["-n2"], ["--modal-resume"], ["-pno:cacheprovider", "--modal-resume"]])
def test_a_project_that_cannot_be_written_is_tested_all_the_same(
    pytester: pytest.Pytester, executed: Executed, options: list[str]
) -> None:
    pytester.makepyfile(suite(ALL_TESTS))
    pytester.path.chmod(0o555)
    try:
        result = pytester.run(*without_privileges(*options))
    finally:
        pytester.path.chmod(0o755)
    result.assert_outcomes(passed=4)
    assert executed() == EACH_ONCE
    assert not pytester.path.joinpath(".pytest_cache").exists()
