"""A selection that sends nothing is a normal run; what this machine's conditions have skipped is said."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

SKIPPED = """
import pytest
import pytest_modal

def body():
    return 1

@pytest_modal.fixture
def answers(): return 1

@pytest.mark.skip(reason="not today")
@pytest.mark.modal_gpu(function=body)
def test_function(modal_result): assert modal_result == 1

@pytest.mark.skip(reason="not today")
def test_answers(answers, accuracy_gate): pass

@pytest.mark.xfail(run=False, reason="hangs")
def test_hanging(answers): pass

def test_plain(): pass
"""


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--modal"],
        ["--modal-mode=replay"],
        ["--modal", "--modal-resume"],
        ["--modal-record", "--modal-prune-recordings"],
        ["--modal-update-baselines"],
        ["-n", "2"],
        ["-W", "error", "-p", "no:asyncio"],
    ],
    ids=" ".join,
)
def test_nothing_is_announced_and_nothing_is_summed_up(pytester: pytest.Pytester, options: list[str]) -> None:
    pytester.makepyfile(SKIPPED)
    run = pytester.runpytest_subprocess if "-n" in options else pytester.runpytest
    result = run(*options)
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert result.ret == pytest.ExitCode.OK
    if "--modal-prune-recordings" in options:  # which must not take what is skipped for unused
        assert_lines(result.outlines, ["recordings were not pruned: *"])
    else:
        assert "modal:" not in result.stdout.str()
        assert not [line for line in result.outlines if line.strip("= ") == "modal"]


def test_no_session_is_opened(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SKIPPED)
    pytester.runpytest("--modal").assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert modal_server.facts()["apps"] == []


def test_the_plan_is_empty(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SKIPPED)
    result = pytester.runpytest("--modal-plan")
    assert result.ret == pytest.ExitCode.OK
    assert_lines(result.outlines, ["*= modal plan =*", "", "Nothing was sent and no test was run."], consecutive=True)


CONDITIONS = """
import os
import pytest
import pytest_modal

@pytest_modal.fixture
def answers(): return 1

no_cuda = pytest.mark.skipif(not os.environ.get("NO_SUCH_CARD"), reason="CUDA required")

@no_cuda
def test_one(answers): assert answers == 1

@no_cuda
@pytest.mark.parametrize("n", [1, 2])
def test_two(answers, n): assert answers == 1

@pytest.mark.skipif("True", reason="flash-attn is not installed")
def test_three(answers): assert answers == 1

@no_cuda
@pytest.mark.skip(reason="not today")
def test_in_any_case(answers): assert answers == 1

@no_cuda
def test_plain(): pass

def test_in_its_body(answers):
    pytest.skip("no bfloat16 here")

def test_good(answers): assert answers == 1
"""
BEFORE = 'modal: 4 GPU tests skipped before the batch: "CUDA required" (3), "flash-attn is not installed" (1)'
AFTER = '5 GPU tests skipped: "CUDA required" (3), "flash-attn is not installed" (1), "no bfloat16 here" (1)'


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "two workers"])
def test_conditions_of_this_machine_that_skip_gpu_tests_are_counted(
    pytester: pytest.Pytester, options: list[str]
) -> None:
    pytester.makepyfile(CONDITIONS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", *options)
    result.assert_outcomes(passed=1, skipped=7)
    assert_lines(
        result.outlines, [BEFORE, "modal: local mock mode, on this machine: 1 call for 2 tests, 1 environment"]
    )
    assert_lines(result.outlines, ["*= modal =*", AFTER])


def test_they_are_counted_where_nothing_else_is_left(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CONDITIONS)
    result = pytester.runpytest("--modal", "-k", "one or two", "-p", "no:randomly")
    result.assert_outcomes(skipped=3, deselected=5)
    assert_lines(result.outlines, ['modal: 3 GPU tests skipped before the batch: "CUDA required" (3)'])
    assert_lines(
        result.outlines,
        ["*= modal =*", '3 GPU tests skipped: "CUDA required" (3)', "mode: modal; device: none"],
        consecutive=True,
    )


def test_they_are_in_the_plan(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CONDITIONS)
    assert_lines(pytester.runpytest("--modal-plan").outlines, [BEFORE, "*= modal plan =*"])
