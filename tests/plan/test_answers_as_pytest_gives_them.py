"""Odd suites and options: an answer each, in pytest's words where pytest has some."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from suite_run import section

CIRCLES = """
import pytest, pytest_modal

@pytest_modal.fixture
def one(two): return two

@pytest_modal.fixture
def two(one): return one

@pytest_modal.fixture
def itself(itself): return itself

@pytest_modal.fixture(scope="container")
def model(weights): return weights

@pytest_modal.fixture(scope="container")
def weights(model): return model

@pytest_modal.fixture
def answer(model): return model

@pytest.fixture
def local(other): return other

@pytest.fixture
def other(local, good): return local

@pytest_modal.fixture
def good(): return 1

def test_one(one): pass
def test_itself(itself): pass
def test_answer(answer): pass
def test_local(local): pass
def test_good(good): assert good == 1
"""


def test_fixtures_that_need_each_other_are_named(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("test_it.py").write_text(CIRCLES)
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1, errors=4)
    for test, circle, line in (
        ("test_one", "'one' detected: one -> two -> one", 7),
        ("test_itself", "'itself' detected: itself -> itself", 10),
        ("test_answer", "'model' detected: model -> weights -> model", 16),
    ):
        assert_lines(
            section(result, f"ERROR at setup of {test}"),
            [
                f"recursive dependency involving fixture {circle}",
                f"  where: test_it.py:{line}, for test_it.py::{test}",
                "  what to do: break the circle: *",
            ],
        )
    assert_lines(
        section(result, "ERROR at setup of test_local"),
        ["E       recursive dependency involving fixture 'local' detected"],
    )


YIELDS = """
import pytest_modal

@pytest_modal.fixture(scope="container")
def nothing():
    if False: yield 1

@pytest_modal.fixture(scope="container")
def twice():
    yield 2
    yield 3

@pytest_modal.fixture(scope="container")
def bare(): yield

@pytest_modal.fixture
def of_nothing(nothing): return nothing

@pytest_modal.fixture
def of_twice(twice): return twice

@pytest_modal.fixture
def of_bare(bare): return bare

def test_nothing(of_nothing): pass
def test_twice(of_twice): assert of_twice == 2
def test_bare(of_bare): assert of_bare is None
"""


@pytest.mark.parametrize("mode", [[], ["--modal-inline"], ["--modal"]], ids=["local", "inline", "modal"])
def test_a_container_fixture_yields_once(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, mode: list[str]
) -> None:
    if mode == ["--modal"]:
        request.getfixturevalue("modal_server")
    pytester.path.joinpath("test_it.py").write_text(YIELDS)
    result = pytester.runpytest_subprocess(*mode, "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=2, errors=1, warnings=1)
    assert_lines(section(result, "ERROR at setup of test_nothing"), ["*ValueError: nothing did not yield a value"])
    assert_lines(
        section(result, "warnings summary"),
        ["test_it.py::test_twice", "  *PytestWarning: container fixture twice has more than one yield"],
    )


SUITE = """
import pytest_modal

@pytest_modal.fixture
def answer():
    \"\"\"
    >>> 1 + 1
    2
    \"\"\"
    return 42

def test_it(answer): assert answer == 42
"""


def test_the_plan_is_shown_without_workers(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    plans = [pytester.runpytest_subprocess("--modal-plan", *given, timeout=60) for given in ([], ["-n2"])]
    assert [plan.ret for plan in plans] == [0, 0]
    assert_lines(plans[0].outlines, ["modal: *1 call for 1 test, 1 environment*"])
    ends = [plan.outlines[plan.outlines.index("collected 1 item") : -1] for plan in plans]
    assert ends[0] == ends[1]


def test_doctests_of_modules_with_remote_fixtures_run(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    pytester.runpytest_subprocess("--doctest-modules", timeout=60).assert_outcomes(passed=2)


def test_setup_only_sets_remote_fixtures_up_too(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    result = pytester.runpytest_subprocess("--setup-only", timeout=60)
    result.assert_outcomes()
    assert_lines(result.outlines, ["1 call in 1 environment*: 1 ok; *"])
    assert_lines(result.outlines, ["        SETUP    F answer", "        TEARDOWN F answer"])
    planned = pytester.runpytest_subprocess("--setup-plan", timeout=60)
    assert_lines(planned.outlines, ["        SETUP    F answer"])
    assert "1 call" not in planned.stdout.str()


def test_tests_outside_of_the_rootdir_run_and_keep_their_files_inside(pytester: pytest.Pytester) -> None:
    root, elsewhere = pytester.mkdir("root"), pytester.mkdir("elsewhere")
    (root / "pytest.ini").write_text("[pytest]\n")
    (elsewhere / "helper.py").write_text("def double(n): return 2 * n\n")
    (elsewhere / "test_it.py").write_text(
        "import pytest_modal, helper\n"
        "@pytest_modal.fixture\ndef rows(): return [{'n': helper.double(21)}]\n"
        "def test_it(rows, save_csv): assert save_csv('a.csv', rows)['n'][0] == 42\n"
    )
    for mode in ("--modal-record", "--modal-mode=replay"):
        result = pytester.runpytest_subprocess(f"--rootdir={root}", f"-c{root}/pytest.ini", mode, elsewhere, timeout=60)
        result.assert_outcomes(passed=1)
    assert [path.name for path in root.rglob("*.csv")] == ["a.csv"]
    assert [path.name for path in elsewhere.iterdir() if path.name not in ("__pycache__", ".pytest_cache")] == [
        "helper.py",
        "test_it.py",
    ]
