"""A mistake in one test is that test's error: the others are collected, and run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from literal_lines import assert_lines
from suite_run import run_suite


@dataclass(frozen=True)
class Mistake:
    """A file with a mistake in its test_it; what is seen at the setup of that test."""

    source: str
    seen: tuple[str, ...]


GOOD = """
import pytest
import pytest_modal

@pytest_modal.fixture
def answers(): return 1

def test_good(answers): assert answers == 1
"""
INSIDE = "a container has neither its instance nor its closure"
TO_THE_TOP = "move it to the top level of the module"
MISTAKES = {
    "no_remote_fixture": Mistake(
        "@pytest.mark.modal_gpu\ndef test_it(): pass",
        (
            "test_it is marked modal_gpu, but it uses no remote fixture: nothing would run on a GPU",
            "  where: test_no_remote_fixture.py::test_it",
            "  what to do: request a @pytest_modal.fixture by name, set function= on the marker, or remove the marker",
        ),
    ),
    "requested_too_late": Mistake(
        '@pytest.mark.modal_gpu\ndef test_it(request): request.getfixturevalue("answers")',
        (
            "as in test_no_remote_fixture.py::test_it: test_it is marked modal_gpu, but it uses no remote fixture: "
            "nothing would run on a GPU",
        ),
    ),
    "no_function": Mistake(
        "@pytest.mark.modal_gpu\ndef test_it(modal_result): pass",
        (
            "modal_result has no value: the test's marker names no function",
            "  where: test_no_function.py::test_it",
            "  what to do: set function= on the marker: @pytest.mark.modal_gpu(function=...)",
        ),
    ),
    "keyword_of_the_marker": Mistake(
        "@pytest.mark.modal_gpu(gpus='T4')\ndef test_it(answers): pass",
        (
            "@pytest.mark.modal_gpu: unknown keyword 'gpus'",
            "  where: test_keyword_of_the_marker.py::test_it",
            "  what to do: did you mean 'gpu'?",
        ),
    ),
    "internal_keyword": Mistake(
        "@pytest.mark.modal_gpu(round=1)\ndef test_it(answers): pass",
        (
            "@pytest.mark.modal_gpu: unknown keyword 'round'",
            "  where: test_internal_keyword.py::test_it",
            "  what to do: use one of function, args, mock, *",
        ),
    ),
    "function_in_a_function": Mistake(
        "def make():\n    def inner(): return 1\n    return inner\n"
        "@pytest.mark.modal_gpu(function=make())\ndef test_it(modal_result): pass",
        (
            f"@pytest.mark.modal_gpu(function=...) is defined inside make: {INSIDE}",
            "  where: test_function_in_a_function.py::test_it",
            f"  what to do: {TO_THE_TOP}",
        ),
    ),
    "fixture_in_a_class": Mistake(
        "class TestIt:\n    @pytest_modal.fixture\n    def rows(self): return 1\n    def test_it(self, rows): pass\n"
        "    def test_other(self, answers): assert answers == 1",
        (
            f"@pytest_modal.fixture 'rows' is defined inside TestIt: {INSIDE}",
            "  where: *test_fixture_in_a_class.py:*",
            f"  what to do: {TO_THE_TOP}",
        ),
    ),
    "static_fixture_in_a_class": Mistake(
        "class TestIt:\n    @pytest_modal.fixture\n    @staticmethod\n    def rows(): return 1\n"
        "    def test_it(self, rows): pass",
        (
            f"@pytest_modal.fixture 'rows' is defined inside TestIt: {INSIDE}",
            "  where: *",
            f"  what to do: {TO_THE_TOP}",
        ),
    ),
    "misspelt_fixture": Mistake(
        "@pytest.mark.modal_gpu\ndef test_it(anwsers): pass",
        (
            "  def test_it(anwsers): pass",
            "E       fixture 'anwsers' not found",
            ">       did you mean 'answers'?",
            ">       available fixtures: *answers*",
        ),
    ),
    "misspelt_beside_a_good_one": Mistake(
        "def test_it(answers, save_cvs): pass",
        ("E       fixture 'save_cvs' not found", ">       did you mean 'save_csv'?"),
    ),
    "misspelt_in_a_local_fixture": Mistake(
        "@pytest.fixture\ndef table(answer): return answer\n@pytest.mark.modal_gpu\ndef test_it(table): pass",
        (
            "  def test_it(table): pass",
            "  def table(answer): return answer",
            "E       fixture 'answer' not found",
            ">       did you mean 'answers'?",
        ),
    ),
    "like_no_other": Mistake(
        "def test_it(answers, qqq): pass",
        ("E       fixture 'qqq' not found", ">       available fixtures: *"),
    ),
    "misspelt_in_a_remote_fixture": Mistake(
        "@pytest_modal.fixture\ndef rows(anwsers): return 1\ndef test_it(rows): pass",
        (
            "parameter 'anwsers' of rows is neither a fixture nor parametrized",
            "  where: test_misspelt_in_a_remote_fixture.py:*, for test_misspelt_in_a_remote_fixture.py::test_it",
            "  what to do: did you mean 'answers'?",
        ),
    ),
    "output_dir_sent_away": Mistake(
        "@pytest_modal.fixture\ndef rows(output_dir): return 1\ndef test_it(rows): pass",
        (
            "remote fixture 'rows' requests the function-scoped local fixture 'output_dir': its value at test time "
            "would differ from the one sent with the batch",
            "  where: test_output_dir_sent_away.py:*, for test_output_dir_sent_away.py::test_it",
            "  what to do: return the data, and use 'output_dir' in the test, where the result arrives",
        ),
    ),
    "broken_skipif": Mistake(
        "@pytest.mark.skipif(True)\n@pytest.mark.modal_gpu\ndef test_it(answers): pass",
        ("*you need to specify reason=STRING when using booleans as conditions.",),
    ),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> pytest.RunResult:
    """One run of all these files."""
    files = {f"test_{name}.py": f"{GOOD}\n{mistake.source}" for name, mistake in MISTAKES.items()}
    return run_suite(tmp_path_factory.mktemp("mistakes"), files, "-rA", env=plain_environment)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_seen_at_the_setup_of_its_test(run: pytest.RunResult, name: str) -> None:
    titles = [line for line in run.outlines if line.startswith(("ERROR test_", "PASSED test_"))]
    assert f"PASSED test_{name}.py::test_good" in titles
    assert any(line.startswith(f"ERROR test_{name}.py::") for line in titles)
    assert_lines(_error_of(run, name), MISTAKES[name].seen)


def test_the_other_tests_run(run: pytest.RunResult) -> None:
    run.assert_outcomes(passed=len(MISTAKES) + 1, errors=len(MISTAKES))


def _error_of(run: pytest.RunResult, name: str) -> list[str]:
    """Return the report of the error in a file: the reports come in the order of the files."""
    failed = [line.partition("::")[0] for line in run.outlines if line.startswith("ERROR test_")]
    starts = [number for number, line in enumerate(run.outlines) if "ERROR at setup of" in line]
    of_file = dict(zip(failed, starts, strict=True))
    start = of_file[f"ERROR test_{name}.py"]
    return run.outlines[start : next((each for each in starts if each > start), len(run.outlines))]


@pytest.mark.parametrize("mode", ["modal", "replay"])
def test_it_is_no_other_in_other_modes(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(f"{GOOD}\n@pytest.mark.modal_gpu\ndef test_it(anwsers): pass")
    result = pytester.runpytest(f"--modal-mode={mode}", "-k", "not test_good")
    result.assert_outcomes(errors=1, deselected=1)
    assert_lines(result.outlines, ["E       fixture 'anwsers' not found", ">       did you mean 'answers'?"])
    assert "modal:" not in result.stdout.str()


def test_the_plan_names_them_all(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"{GOOD}\n@pytest.mark.modal_gpu\ndef test_a(anwsers): pass\n@pytest.mark.modal_gpu\ndef test_b(): pass"
    )
    result = pytester.runpytest("-p", "no:randomly", "--modal-plan")
    assert result.ret == pytest.ExitCode.OK
    assert_lines(
        result.outlines,
        [
            "can't be planned: *::test_a",
            "  fixture 'anwsers' not found: did you mean 'answers'?",
            "can't be planned: *::test_b",
            "  test_b is marked modal_gpu, but it uses no remote fixture: nothing would run on a GPU",
            "Nothing was sent and no test was run.",
        ],
    )


def test_in_skip_mode_they_are_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{GOOD}\n@pytest.mark.modal_gpu\ndef test_it(anwsers): pass")
    pytester.runpytest("--modal-mode=skip").assert_outcomes(skipped=2)
