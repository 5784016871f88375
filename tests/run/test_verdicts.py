"""Assertions and skips in GPU functions are verdicts on the tests that need the result, as if they were made there."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import run_suite, section

SUITE = """
import unittest
import pytest
import pytest_modal
from pytest import skip

THRESHOLD = 0.5

def score(kind):
    accuracy, rows = 0.25, ["a", "b"]
    if kind == "plain":
        assert accuracy > THRESHOLD
    if kind == "message":
        assert (len(rows) == 3
                and accuracy), f"{len(rows)} rows"
    if kind == "library":
        from unittest import TestCase
        TestCase().assertEqual(accuracy, THRESHOLD)
    if kind == "fail":
        pytest.fail("the model is broken")
    if kind == "skip":
        pytest.skip("needs 80 GB")
    if kind == "name":
        skip("needs an H100")
    if kind == "unittest":
        raise unittest.SkipTest("needs a TPU")
    if kind == "xfail":
        pytest.xfail("known")
    if kind == "error":
        raise ValueError("no verdict")

@pytest.fixture
def local(modal_result):
    print("this fixture needs a result")
    return modal_result

KINDS = ["plain", "message", "library", "fail", "skip", "name", "unittest", "xfail", "error"]

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.modal_gpu(function=score)
def test_score(local, kind):
    print("this body is not run")

@pytest.mark.xfail(raises=AssertionError, strict=True)
@pytest.mark.modal_gpu(function=score, args={"kind": "plain"})
def test_expected(modal_result): pass

@pytest_modal.fixture
def bad(): assert not THRESHOLD

@pytest_modal.fixture
def worse(bad): return bad

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def use(self, worse): self.worse = worse
    def setUp(self): print("this is not set up")
    def test_it(self): pass

@pytest_modal.fixture(scope="container")
def large(): pytest.skip("no room for it")

@pytest_modal.fixture(scope="container")
def checked(): assert THRESHOLD > 1

@pytest_modal.fixture
def of_large(large): return 1

@pytest_modal.fixture
def of_checked(checked): return 1

def test_large(of_large): pass
def test_checked(of_checked): pass
def test_both(bad, of_checked): pass
def test_plain(): pass
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> pytest.RunResult:
    """The run of the suite, in local mode."""
    return run_suite(tmp_path_factory.mktemp("verdicts"), {"test_it.py": SUITE}, "-rA", env=plain_environment)


def test_each_verdict_is_the_tests_outcome(run: pytest.RunResult) -> None:
    run.assert_outcomes(passed=1, failed=5, errors=3, skipped=4, xfailed=2)
    assert_lines(
        run.outlines,
        [
            "SKIPPED [1] test_it.py:38: needs 80 GB",
            "SKIPPED [1] test_it.py:38: needs an H100",
            "SKIPPED [1] test_it.py:38: needs a TPU",
            "SKIPPED [1] test_it.py:*: no room for it",
            "XFAIL at setup of test_it.py::test_score[xfail] - known",
            "XFAIL test_it.py::test_expected",
            "ERROR test_it.py::test_score[error] - *",
            "ERROR test_it.py::test_checked - *",
            "ERROR test_it.py::test_both - *",
            "FAILED test_it.py::test_score[plain] - *",
            "FAILED test_it.py::test_score[message] - *",
            "FAILED test_it.py::test_score[library] - *",
            "FAILED test_it.py::test_score[fail] - *",
            "FAILED test_it.py::TestOfUnittest::test_it - *",
        ],
    )


def test_no_fixture_and_no_body_runs_without_the_result(run: pytest.RunResult) -> None:
    printed = run.stdout.str()
    assert "this fixture needs" not in printed
    assert "this body is" not in printed
    assert "this is not set up" not in printed


FAILURES = {
    "test_score[plain]": [
        "AssertionError: assert accuracy > THRESHOLD (in score[plain])",
        "  where: test_it.py:8, in container local-1",
        "  kind = 'plain'",
        "  accuracy = 0.25",
        "  THRESHOLD = 0.5",
        "",
        "Remote traceback (most recent call last):",
        '  File "*test_it.py", line 11, in score',
        "    assert accuracy > THRESHOLD",
        "AssertionError",
    ],
    "test_score[message]": [
        "AssertionError: 2 rows (in score[message])",
        "  where: test_it.py:8, in container local-1",
        "  rows = ['a', 'b']",
    ],
    "test_score[library]": [
        "AssertionError: 0.25 != 0.5 (in score[library])",
        "  where: test_it.py:8, in container local-1",
        "  accuracy = 0.25",
        "  THRESHOLD = 0.5",
    ],
    "test_score[fail]": [
        "Failed: the model is broken (in score[fail])",
        "  where: test_it.py:8, in container local-1",
        "",
        "Remote traceback (most recent call last):",
        '  File "*test_it.py", line 19, in score',
        '    pytest.fail("the model is broken")',
        "Failed: the model is broken",
    ],
    "TestOfUnittest.test_it": ["AssertionError: no message (in bad)", "  THRESHOLD = 0.5"],
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_shown_with_its_line_and_values(run: pytest.RunResult, name: str) -> None:
    lines = section(run, name)
    assert_lines(lines, FAILURES[name])
    assert not [line for line in lines if "hidden" in line or "standins" in line]


def test_verdicts_and_errors_together_are_an_error(run: pytest.RunResult) -> None:
    assert_lines(
        section(run, "ERROR at setup of test_both"),
        [
            "AssertionError: no message (in bad)",
            "container fixture checked, which of_checked uses, raised AssertionError",
        ],
    )


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_verdicts_are_the_same_in_both_modes_and_pytest_is_not_in_the_image(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        @pytest_modal.fixture(params=["skip", "assert", "good"])
        def value(request):
            import sys
            if request.param == "skip": pytest.skip("needs 80 GB")
            wanted = "good"
            assert request.param == wanted
            return [name for name in sys.modules if name.startswith("_pytest")]

        def test_value(value): assert value == []
        """
    )
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    assert_lines(result.outlines, ["AssertionError: * (in value[assert])", "  where: *", "  wanted = 'good'", ""])
    assert not [line for image in modal_server.facts()["images"] for line in image["commands"] if "pytest==" in line]
