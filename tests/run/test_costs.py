"""What a run on Modal costs is seen before it, after it, and limited."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

SUITE = """
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container", gpu="T4")
    def model(): return 2

    @pytest_modal.fixture
    def answers(model): return [model, model]

    def large(): return 1

    def test_answers(answers): assert answers == [2, 2]

    @pytest.mark.modal_gpu(function=large, gpu=["H200:2", "H100:2"])
    def test_large(modal_result): assert modal_result == 1
"""
# Each container of this suite is dear, so that seconds make dollars.
DEAR = "[pytest]\nmodal_prices = T4 = 3600/h\n"
LONG = """
    import pytest

    def work(seconds):
        import time
        time.sleep(seconds)
        return seconds

    @pytest.mark.modal_gpu(function=work)
    @pytest.mark.parametrize("seconds", [0, 60])
    def test_work(modal_result, seconds): assert modal_result == seconds
"""
xdist = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:randomly", *arguments, timeout=90)


def costs(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "cost: " in line]


@xdist
def test_the_summary_says_what_was_used_and_what_it_costs(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    # The GPU that was given counts, and not the one that was preferred.
    modal_server.fail("gpu", times=None, gpu="H200")
    pytester.makepyfile(SUITE)
    result = run(pytester, "--modal", "--junitxml=junit.xml", *workers)
    result.assert_outcomes(passed=2)
    (line,) = costs(result)
    amount, _, used = line.partition(": ")[2].partition(": ")
    parts, _, prices = used.partition("; ")
    assert amount.startswith("about $0.0")
    assert sorted(part.rpartition(" ")[0].rpartition(" ")[0] for part in parts.split(", ")) == ["2 x H100", "T4"]
    assert prices == "list prices of September 2026"
    found = ET.parse(pytester.path / "junit.xml").iterfind("./testsuite/properties/property")
    properties = {each.get("name"): each.get("value") for each in found}
    assert float(str(properties["modal_cost"])) == pytest.approx(float(amount.partition("$")[2]), abs=0.0005)
    assert properties["modal_containers"] == parts


def test_a_better_gpu_that_modal_gives_costs_what_was_asked_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.fail("substitute_gpu", times=None, gpu="H100", given="H200")
    pytester.makepyfile(SUITE.replace('["H200:2", "H100:2"]', '"H100"'))
    result = run(pytester, "--modal", "-k", "large")
    assert_lines(result.outlines, ["modal: container up: H100 on NVIDIA H200", "cost: about $*: H100 * *s; *"])


def test_containers_that_ended_under_a_call_are_paid_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.fail("crash", function="T4.*", on_input=1, after=0)
    pytester.makepyfile(LONG.replace("[0, 60]", "[0.5]"))
    result = run(pytester, "--modal")
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["cost: about $*: T4 * *s in 2 containers; *"])


@pytest.mark.parametrize("mode", ["local", "replay"])
def test_what_runs_elsewhere_costs_nothing(pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str) -> None:
    pytester.makepyfile(SUITE)
    run(pytester, "--modal-record").assert_outcomes(passed=2)
    result = run(pytester, f"--modal-mode={mode}", "--modal-max-cost=0.01", "--junitxml=junit.xml")
    result.assert_outcomes(passed=2)
    assert costs(result) == []
    assert "modal_cost" not in (pytester.path / "junit.xml").read_text()
    assert costs(run(pytester, f"--modal-mode={mode}", "--modal-plan")) == []


@xdist
def test_the_plan_estimates_from_the_last_run(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(SUITE)
    unknown = "estimated cost: unknown until these functions have run from this machine"
    assert costs(run(pytester, "--modal", "--modal-plan")) == [unknown]
    run(pytester, "--modal", "-k", "answers", *workers).assert_outcomes(passed=1)
    plan = run(pytester, "--modal", "--modal-plan")
    known = "by the last run on this machine and list prices of September 2026"
    assert_lines(costs(plan), [f"estimated cost: at least $*: T4 * *s, 2 x H200 unknown; {known}"])
    run(pytester, "--modal", *workers).assert_outcomes(passed=2)
    plan = run(pytester, "--modal", "--modal-plan")
    assert_lines(costs(plan), [f"estimated cost: about $*: T4 * *s, 2 x H200 * *s; {known}"])


@pytest.mark.parametrize("kept", ["{", "[1]", '{"calls": {"T4 test_it.py::large": "soon"}, "idle": 3}'])
def test_timings_that_can_not_be_read_are_none(
    pytester: pytest.Pytester, modal_server: LoopbackModal, kept: str
) -> None:
    pytester.makepyfile(SUITE)
    file = pytester.path / ".pytest_cache" / "v" / "pytest_modal" / "timings"
    file.parent.mkdir(parents=True)
    file.write_text(kept)
    assert costs(run(pytester, "--modal", "--modal-plan"))[0].startswith("estimated cost: unknown until")


@xdist
def test_a_batch_that_would_cost_too_much_is_not_sent(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(SUITE + "\n    def test_local(): pass\n")
    pytester.makeini(DEAR)
    run(pytester, "--modal", "-k", "answers").assert_outcomes(passed=1)
    modal_server.reset()
    result = run(pytester, "--modal", "-k", "answers or local", "--modal-max-cost=0.01", *workers)
    result.assert_outcomes(errors=1, passed=1)
    assert result.ret == 70
    assert_lines(
        result.outlines,
        [
            "the batch would cost about $* by the last run, above the limit of $0.010 (T4 * *s)",
            "  where: test_*.py:6",
            "  what to do: raise --modal-max-cost, or select fewer tests; nothing was sent",
        ],
    )
    assert modal_server.facts()["apps"] == []
    plan = run(pytester, "--modal", "--modal-plan", "-o", "modal_max_cost=$0.01")
    assert "above the limit of $0.010: pytest --modal would send nothing" in plan.outlines


@xdist
def test_a_session_that_costs_too_much_is_stopped_and_goes_on_later(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(LONG)
    pytester.makeini(DEAR)
    result = run(pytester, "--modal", "--modal-max-cost=3", *workers)
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 70
    remedy = "run pytest --modal --modal-resume with a higher --modal-max-cost: results that have arrived are kept"
    said = "the session has cost about $* and was stopped at the limit of $3.00 (T4 * *s)"
    assert_lines(result.outlines, [said, f"  what to do: {remedy}"])
    assert_lines(result.outlines, ["cost: about $*: T4 * *s; prices of modal_prices and, of the list, September 2026"])
    assert all(each["ended_at"] for each in modal_server.facts()["containers"])
    # The seconds of the call that was cut short are no container's start, of which each run has one.
    (line,) = costs(run(pytester, "--modal", "--modal-plan", "-k", "test_work[0]"))
    assert line.startswith("estimated cost: unknown")
    modal_server.reset()
    pytester.makepyfile(LONG.replace("[0, 60]", "[0, 1]"))
    result = run(pytester, "--modal", "--modal-resume", *workers)
    result.assert_outcomes(passed=2)
    assert "resumed: 1 of 2 calls reused from earlier runs, 1 to run" in result.outlines


ROUNDS = """
    import pytest_modal

    @pytest_modal.fixture
    def answers():
        import time
        time.sleep(60)
        return []

    def test_accuracy(answers, accuracy_gate): accuracy_gate("toy", answers)
"""


def test_the_limit_is_that_of_all_sessions_of_a_recording(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(ROUNDS)
    pytester.makeini(f"{DEAR}modal_baseline_rounds = 2\n")
    result = run(pytester, "--modal", "--modal-update-baselines", "--modal-max-cost=6")
    assert_lines(result.outlines, ["cost: the session has cost about $* stopped at the limit of $6.00 (*) (2 calls)"])
    assert len(modal_server.facts()["apps"]) == 2
    assert all(each["ended_at"] for each in modal_server.facts()["containers"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--modal-max-cost=much",), "--modal-max-cost=much is not valid"),
        (("--modal-max-cost=0",), "--modal-max-cost=0 is not valid"),
        (("--modal-max-cost=",), "--modal-max-cost= is not valid"),
        (("-o", "modal_max_cost=-1"), "modal_max_cost = '-1' is not valid"),
        (("-o", "modal_prices=H100 = 3.20"), "modal_prices = 'H100 = 3.20' is not valid"),
        (("-o", "modal_prices=H10 = 3.20/h"), "modal_prices = 'H10 = 3.20/h' is not valid"),
        (("-o", "modal_prices=H100:2 = 3.20/h"), "modal_prices = 'H100:2 = 3.20/h' is not valid"),
    ],
)
def test_a_wrong_amount_is_a_usage_error(pytester: pytest.Pytester, arguments: tuple[str, ...], said: str) -> None:
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_lines(result.errlines, [f"ERROR: {said}", "  what to do: *"])
