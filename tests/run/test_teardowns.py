"""Code after the yield of a container fixture: it can do what it likes, the results before it are there."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import section

# For each fixture: what follows its yield, and what is said of it.
TEARDOWNS = {
    "raises": ('raise RuntimeError("untidy")', "raised RuntimeError after its yield"),
    "exits": ("import sys; sys.exit(3)", "raised SystemExit after its yield"),
    "hangs": (
        "import time; time.sleep(600)",
        "did not end within 2 s after its yield: its process was killed",
    ),
    "holds_the_interpreter": (
        "import ctypes; ctypes.PyDLL(None).sleep(600)",
        "did not end within 2 s after its yield: its process was killed",
    ),
    "aborts": (
        "import os; os.abort()",
        "ended its process after its yield: the worker process was killed by SIGABRT (aborted)",
    ),
    "leaves": (
        "import os; os._exit(5)",
        "ended its process after its yield: the worker process ended with exit status 5",
    ),
    "is_slow": ("import time; time.sleep(0.5)", None),
}
SUITE = """
import pytest_modal

@pytest_modal.fixture(scope="container", timeout=2, env={{"WHICH": "{name}"}})
def model_{name}():
    yield 1
    {code}

@pytest_modal.fixture
def answer_{name}(model_{name}):
    return model_{name} + 41

def test_{name}(answer_{name}):
    assert answer_{name} == 42
"""


@pytest.fixture(params=["local", "modal"])
def mode(request: pytest.FixtureRequest) -> list[str]:
    """The arguments of a mode; on Modal, the server is there."""
    if request.param == "modal":
        request.getfixturevalue("modal_server")
        return ["--modal"]
    return []


def test_whatever_follows_a_yield_is_at_most_a_warning_that_names_the_fixture(
    pytester: pytest.Pytester, mode: list[str]
) -> None:
    for name, (code, _) in TEARDOWNS.items():
        pytester.path.joinpath(f"test_{name}.py").write_text(SUITE.format(name=name, code=code))
    result = pytester.runpytest_subprocess(*mode, "-p", "no:randomly", timeout=90)
    said = {name: words for name, (_, words) in TEARDOWNS.items() if words is not None}
    result.assert_outcomes(passed=len(TEARDOWNS), warnings=len(said))
    lines = section(result, "warnings summary")
    for name, words in said.items():
        assert_lines(
            lines,
            [
                f"test_{name}.py::test_{name}",
                f"  test_{name}.py:*: PytestWarning: container fixture model_{name} {words}",
                f"    where: test_{name}.py:*",
                "    what to do: fix the code after the yield; the results before it are kept",
            ],
        )


NEIGHBOURS = """
import pytest, pytest_modal

@pytest_modal.fixture(scope="container", timeout=3)
def first():
    yield "first"
    {code}

@pytest_modal.fixture(scope="container", timeout=3)
def second():
    return "second"

@pytest_modal.fixture(params=range(3))
def before(first, request): return f"{{first}} {{request.param}}"

@pytest_modal.fixture(params=range(3))
def later(second, request): return f"{{second}} {{request.param}}"

def test_before(before): assert before.startswith("first")

def test_later(later): assert later.startswith("second")
"""


@pytest.mark.parametrize("name", ["hangs", "aborts"])
def test_the_calls_after_it_run_in_a_fresh_process(pytester: pytest.Pytester, mode: list[str], name: str) -> None:
    pytester.makepyfile(NEIGHBOURS.format(code=TEARDOWNS[name][0]))
    result = pytester.runpytest_subprocess(*mode, "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=6, warnings=1)


def test_results_are_sent_while_it_still_runs(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SUITE.format(name="it", code="import time; time.sleep(600)").replace("timeout=2", "timeout=60"))
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=1, warnings=1)
    assert_lines(
        section(result, "warnings summary"),
        ["*container fixture model_it still ran 5 s after its yield, when the results were sent"],
    )


def test_workers_of_xdist_warn_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NEIGHBOURS.format(code='raise RuntimeError("untidy")'))
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-n", "2", timeout=90)
    result.assert_outcomes(passed=6, warnings=1)


def test_inline_it_is_a_warning_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NEIGHBOURS.format(code='raise RuntimeError("untidy")'))
    result = pytester.runpytest_subprocess("--modal-inline", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=6, warnings=1)
