"""Whatever a call does, it becomes that call's outcome, and the others go on: here and on Modal."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from failing_calls import CALLS, LOADS, LOCAL, MODAL, MODES, TAKEN, WORK_AT, Mode, suite
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import run_suite, section


@dataclass(frozen=True)
class Run:
    """The run of all failing calls in one mode."""

    mode: Mode
    result: pytest.RunResult
    facts: dict[str, Any]  # what the server knows of it

    def setup_error(self, test: str) -> list[str]:
        """Return the error at the setup of a test."""
        return section(self.result, f"ERROR at setup of {test}")


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> Run:
    directory = tmp_path_factory.mktemp("local")
    return Run(LOCAL, run_suite(directory, {"test_it.py": suite()}, *LOCAL.arguments, env=plain_environment), {})


@pytest.fixture(scope="module")
def modal_run(
    tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str], loopback: LoopbackModal
) -> Run:
    directory = tmp_path_factory.mktemp("modal")
    environment = {**plain_environment, **loopback.env}
    with loopback.fresh():
        result = run_suite(directory, {"test_it.py": suite()}, *MODAL.arguments, env=environment)
        return Run(MODAL, result, loopback.facts())


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def run(request: pytest.FixtureRequest) -> Run:
    """The run in one mode and then in the other, each made once."""
    found: Run = request.getfixturevalue(f"{request.param.name}_run")
    return found


@pytest.mark.parametrize(
    ("run", "kind"),
    [pytest.param(mode, kind, id=f"{mode.name}-{kind}") for kind in CALLS for mode in MODES],
    indirect=["run"],
)
def test_a_failing_call_is_an_error_that_names_its_cause(run: Run, kind: str) -> None:
    call = CALLS[kind]
    error = run.setup_error(f"test_work[{kind}]")
    message = call.message(run.mode, f"work[{kind}]", WORK_AT)
    assert_lines(error[: len(message)], message, consecutive=True)
    output = ["*Captured modal stdout setup*", f"working on {kind}"]
    errors = ["*Captured modal stderr setup*", *call.stderr] if call.stderr else []
    assert_lines(error, [*message, *call.traceback, *output, *errors])


@pytest.mark.parametrize("kind", TAKEN)
def test_a_call_that_takes_a_failed_one_points_to_its_cause(run: Run, kind: str) -> None:
    message = CALLS[kind].message(run.mode, f"answer[{kind}]")
    assert_lines(run.setup_error(f"test_answer[{kind}]"), [*message, *CALLS[kind].traceback])
    (line,) = run.setup_error(f"test_after[{kind}]")
    assert_lines([line], [f"as in test_it.py::test_answer[{kind}]: * (in answer[{kind}])"])


@pytest.mark.parametrize("name", LOADS)
def test_a_container_fixture_that_fails_is_explained_to_all_its_users(run: Run, name: str) -> None:
    load = LOADS[name]
    message = load.message(run.mode, f"uses_{name}[0]")
    assert_lines(run.setup_error(f"test_{name}[0]"), [*message, *load.traceback])
    others = [f"test_{name}[{user}]" for user in range(1, load.users)]
    for test in [*others, *(f"test_after_{name}[{user}]" for user in range(load.users))]:
        (line,) = run.setup_error(test)
        assert_lines([line], [f"as in test_it.py::test_{name}[0]: * (in {name})"])


def test_a_container_fixture_that_raises_is_built_once(run: Run) -> None:
    assert run.result.stdout.str().count("modal: loading broken") == 1


def test_a_container_fixture_that_crashes_is_built_once_more_alone_and_never_again(local_run: Run) -> None:
    assert local_run.result.stdout.str().count("modal: loading crashing") == 2


def test_what_fails_after_the_yield_of_a_container_fixture_is_a_warning_which_a_filter_makes_an_error(run: Run) -> None:
    filtered = "-Werror" in run.mode.arguments
    assert_lines(
        section(run.result, "ERROR at teardown of test_untidy" if filtered else "warnings summary"),
        [
            "*container fixture untidy raised RuntimeError after its yield",
            "*  where: test_it.py:*",
            "*  what to do: fix the code after the yield; the results before it are kept",
            "*RuntimeError: could not clean up",
        ],
    )


def test_the_other_calls_go_on(run: Run) -> None:
    errors = {f"test_work[{kind}]" for kind in CALLS}
    errors |= {f"{test}[{kind}]" for kind in TAKEN for test in ("test_answer", "test_after")}
    for name, load in LOADS.items():
        errors |= {f"{test}[{user}]" for user in range(load.users) for test in (f"test_{name}", f"test_after_{name}")}
    filtered = "-Werror" in run.mode.arguments
    errors |= {"test_untidy"} if filtered else set()  # at its teardown
    assert set(re.findall(r"(?m)^ERROR test_it\.py::(\S+)", run.result.stdout.str())) == errors
    run.result.assert_outcomes(passed=7, errors=33 if filtered else 32)
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_summary_counts_the_calls_of_each_status(run: Run) -> None:
    counts = Counter(call.status for call in CALLS.values())
    counts += Counter(CALLS[kind].status for kind in TAKEN)
    counts += Counter({load.status: load.users for load in LOADS.values()})
    counts["dependency failed"] = len(TAKEN) + sum(load.users for load in LOADS.values())
    good = 38 - counts.total()
    listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    assert_lines(section(run.result, "modal"), [f"38 calls in 5 environments and * containers: {good} ok, {listed}; *"])


def test_calls_of_one_environment_are_inputs_of_one_function(modal_run: Run) -> None:
    assert len(modal_run.facts["apps"]) == 1
    functions = [function["name"] for function in modal_run.facts["functions"] if not function["base"]]
    assert functions.count("T4.*") == 1
