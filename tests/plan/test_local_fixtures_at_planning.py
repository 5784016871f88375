"""Local fixtures run before the batch is sent, and yet as in the setup of the test that needs them."""

from __future__ import annotations

import re

import pytest
from literal_lines import assert_lines
from suite_run import section

NOISE = """
import logging, os, sys, warnings
import pytest, pytest_modal

def say(word):
    print(f"{word} out")
    print(f"{word} err", file=sys.stderr)
    os.write(1, f"{word} descriptor\\n".encode())
    logging.getLogger("project").warning("%s log", word)
    warnings.warn(f"{word} warning")

@pytest.fixture(scope="session", autouse=True)
def always(): say("always")

@pytest.fixture(scope="session")
def problems():
    say("session")
    return 1

@pytest.fixture(scope="module")
def more(problems):
    say("module")
    yield problems + 1
    say("module teardown")

@pytest_modal.fixture
def answer(problems, more): return problems + more

def test_it(answer): assert answer == 0
def test_other(answer): assert answer == 3
"""


def test_what_local_fixtures_say_at_planning_is_captured_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NOISE)
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1, failed=1, warnings=6)
    # Nothing is written before the tests but the lines of the plugin.
    before = result.stdout.str().partition("FAILURES")[0]
    assert not re.search("always|session err|session log|module (out|err|log)", before), before
    assert not result.stderr.str().count("err")
    lines = section(result, "test_it")
    assert_lines(lines, ["*Captured stdout setup*", "always out", "always descriptor", "*Captured stderr setup*"])
    for word in ("session out", "session descriptor", "session err", "module out", "module descriptor", "module err"):
        assert word in lines
    assert_lines(lines, ["*Captured log setup*", "WARNING *always log"])
    assert_lines(result.outlines, ["*warnings summary*", "test_*.py::test_it", "*UserWarning: always warning"])
    # Session fixtures ran once.
    assert lines.count("session out") == 1


def test_warning_filters_hold_at_planning_and_the_current_test_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os, warnings
        import pytest, pytest_modal

        @pytest.fixture(scope="session")
        def deprecated():
            warnings.warn("old", DeprecationWarning)
            return 1

        @pytest.fixture(scope="session")
        def ignored():
            warnings.warn("not seen", RuntimeWarning)
            return os.environ["PYTEST_CURRENT_TEST"]

        @pytest_modal.fixture
        def one(deprecated): return deprecated

        @pytest_modal.fixture
        def name(ignored): return ignored

        def test_one(one): pass

        @pytest.mark.filterwarnings("ignore:not seen")
        def test_name(name): assert name.endswith("::test_name (setup)")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-W", "error:old:DeprecationWarning", timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    assert_lines(section(result, "ERROR at setup of test_one"), ["E       DeprecationWarning: old"])


def test_live_logging_shows_what_local_fixtures_log_at_planning(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NOISE)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--log-cli-level=WARNING", "-k", "other", timeout=60)
    result.assert_outcomes(passed=1, warnings=6)
    assert_lines(result.outlines, ["*live log setup*", "WARNING *session log*", "modal: local mock mode*"])


RAISES = """
import argparse, asyncio
import pytest, pytest_modal

@pytest.fixture(scope={scope!r})
def exits(): argparse.ArgumentParser("helper").parse_args(["--unknown"])

@pytest.fixture(scope={scope!r})
def cancelled(): raise asyncio.CancelledError

@pytest.fixture(scope={scope!r})
def closes():
    yield 1
    raise GeneratorExit

@pytest_modal.fixture
def one(exits): return 1

@pytest_modal.fixture
def two(cancelled): return 2

@pytest_modal.fixture
def three(closes): return 3

@pytest_modal.fixture
def four(): return 4

def test_exits(one): pass
def test_cancelled(two): pass
def test_closes(three): pass
def test_four(four): pass
def test_plain(): pass
"""


@pytest.mark.parametrize("scope", ["module", "session"])
@pytest.mark.parametrize("workers", [[], ["-n1", "-p", "xdist"]], ids=["", "xdist"])
def test_an_exception_that_ends_programs_is_the_error_of_its_test(
    pytester: pytest.Pytester, scope: str, workers: list[str]
) -> None:
    pytester.makepyfile(RAISES.format(scope=scope))
    result = pytester.runpytest_subprocess("-p", "no:randomly", *workers, timeout=60)
    assert "INTERNALERROR" not in result.stdout.str()
    result.assert_outcomes(passed=3, errors=3)
    for test, error in (("test_exits", "SystemExit: 2"), ("test_cancelled", "asyncio.exceptions.CancelledError")):
        assert_lines(section(result, f"ERROR at setup of {test}"), [f"E   *{error}"])


def test_a_local_fixture_that_ends_the_run_ends_it_before_anything_is_sent(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        @pytest.fixture(scope="session")
        def weights(): pytest.exit("no weights here", returncode=9)

        @pytest_modal.fixture
        def one(weights): return 1

        def test_one(one): pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    assert result.ret == 9
    assert_lines(result.outlines, ["!*Exit: no weights here !*"])
    assert "modal: local mock mode" not in result.stdout.str()
