"""What was computed for all tests serves any of them: a selection changes neither calls, names nor results."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

SUITE = {
    "conftest": """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model(size): return {"tiny": 1, "small": 2}[size]

        @pytest_modal.fixture
        def answer(model, options): return [model, options]

        @pytest_modal.fixture
        def graded(answer): return len(answer)
    """,
    "test_one": """
        import pytest

        @pytest.mark.parametrize("options", [{"lr": 1}, pytest.param({"lr": 2}, id="fast")])
        @pytest.mark.parametrize("size", ["tiny", "small"])
        def test_answer(answer, graded, size, options):
            assert answer == [{"tiny": 1, "small": 2}[size], options] and graded == 2
    """,
    "test_two": """
        import pytest

        @pytest.mark.parametrize("options", [pytest.param({"lr": 1}, id="called otherwise")])
        @pytest.mark.parametrize("size", ["small"])
        def test_again(answer, options): assert answer == [2, options]
    """,
}
SELECTIONS = {
    "all": ([], 5),
    "a keyword": (["-k", "tiny"], 2),
    "the last failed": (["--lf"], 1),
    "a node id": (["test_one.py::test_answer[small-fast]"], 1),
    "a file that calls it otherwise": (["test_two.py"], 1),
    "one deselected": (["--deselect", "test_one.py::test_answer[tiny-fast]"], 4),
}
RECORDED = [
    "answer[small-fast]-*.json",
    "answer[small-options0]-*.json",
    "answer[tiny-fast]-*.json",
    "answer[tiny-options0]-*.json",
    "graded[small-fast]-*.json",
    "graded[small-options0]-*.json",
    "graded[tiny-fast]-*.json",
    "graded[tiny-options0]-*.json",
]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite in several files."""
    pytester.makepyfile(**SUITE)
    return pytester


def fail_last(suite: pytest.Pytester) -> None:
    """Make pytest believe that one test has failed."""
    lastfailed = suite.path / ".pytest_cache/v/cache/lastfailed"
    lastfailed.parent.mkdir(parents=True, exist_ok=True)
    lastfailed.write_text('{"test_one.py::test_answer[tiny-fast]": true}')


def names(suite: pytest.Pytester) -> list[str]:
    """Return the names of the recordings, without what tells values apart that have no text."""
    found = sorted(path.name for path in Path(suite.path, "recordings").glob("*/*"))
    return [re.sub(r"-[0-9a-f]{8}\.", "-*.", name) for name in found]


def selected(suite: pytest.Pytester, selection: str, *mode: str) -> None:
    """Run a selection; all of it passes."""
    arguments, tests = SELECTIONS[selection]
    fail_last(suite)
    outcomes = suite.runpytest(*arguments, *mode, "-p", "no:randomly").parseoutcomes()
    assert {"passed": tests} == {
        name: count for name, count in outcomes.items() if name in ("passed", "failed", "errors")
    }


@pytest.mark.parametrize("selection", SELECTIONS)
def test_any_selection_runs_here_and_replays_what_all_recorded(suite: pytest.Pytester, selection: str) -> None:
    suite.runpytest("--modal-record", "-p", "no:randomly", "-p", "no:cacheprovider").assert_outcomes(passed=5)
    assert names(suite) == RECORDED
    selected(suite, selection, "--modal-mode=replay")
    if selection != "all":
        selected(suite, selection)


@pytest.mark.parametrize("selection", ["a keyword", "the last failed", "a node id"])
def test_a_selection_records_under_the_names_that_all_have(suite: pytest.Pytester, selection: str) -> None:
    selected(suite, selection, "--modal-record")
    partly = names(suite)
    assert partly
    assert set(partly) < set(RECORDED)
    suite.runpytest("--modal-record", "-p", "no:cacheprovider").assert_outcomes(passed=5)
    assert names(suite) == RECORDED


def test_a_call_recorded_under_another_name_is_not_recorded_twice(suite: pytest.Pytester) -> None:
    selected(suite, "a file that calls it otherwise", "--modal-record")
    (name,) = names(suite)
    assert name.startswith("answer[small-called_otherwise]-")
    selected(suite, "all", "--modal-record", "-p", "no:cacheprovider")
    assert names(suite) == RECORDED


@pytest.mark.parametrize("selection", ["all", "a keyword", "a node id"])
def test_an_edited_model_makes_its_recordings_stale_in_any_selection(suite: pytest.Pytester, selection: str) -> None:
    suite.runpytest("--modal-record", "-p", "no:cacheprovider").assert_outcomes(passed=5)
    conftest = suite.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace('"tiny": 1', '"tiny": 10'))
    arguments, tests = SELECTIONS[selection]
    result = suite.runpytest(*arguments, "--modal-mode=replay", "-p", "no:randomly")
    result.assert_outcomes(errors=tests, deselected=3 if selection == "a keyword" else 0)
    assert_lines(
        result.stdout.lines,
        [
            "answer[*]: the recording is stale: *",
            "  changed: container fixture model changed",
            "  where: recordings/conftest/answer[*.json, for conftest.py:*",
        ],
    )
    assert "was not recorded" not in result.stdout.str()


def test_any_selection_runs_on_modal_and_replays_here(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    result = suite.runpytest_subprocess("--modal", "--modal-record", "-p", "no:cacheprovider", timeout=90)
    result.assert_outcomes(passed=5)
    assert names(suite) == RECORDED
    for selection in SELECTIONS:
        selected(suite, selection, "--modal-mode=replay")
    for selection in ("a keyword", "the last failed", "a node id"):
        arguments, tests = SELECTIONS[selection]
        fail_last(suite)
        outcomes = suite.runpytest_subprocess("--modal", *arguments, timeout=90).parseoutcomes()
        assert (outcomes["passed"], outcomes.get("errors", 0)) == (tests, 0)
