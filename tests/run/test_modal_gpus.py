"""GPUs are counted: a run uses as many at once as the workspace has, and the others wait their turn."""

from __future__ import annotations

from typing import Any

import pytest
from loopback_modal import LoopbackModal

SUITE = "import pytest, time\n" + "".join(
    f"""
def f{number}(x):
    time.sleep(0.4)
    return x

@pytest.mark.modal_gpu(function=f{number}, gpu="{gpu}")
@pytest.mark.parametrize("x", range(3))
def test_{number}(modal_result, x): assert modal_result == x
"""
    for number, gpu in enumerate(("T4", "L4:2", "A10", "T4"))
)


def busy_at_once(facts: list[dict[str, Any]]) -> int:
    """Return how many containers or inputs there were at the same time at most."""
    spans = [(each["started_at"], each["ended_at"]) for each in facts]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def test_no_more_environments_run_than_there_are_gpus(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", "-o", "modal_max_gpus=2", timeout=90)
    result.assert_outcomes(passed=12)
    facts = modal_server.facts()
    # The two functions on a T4 are one environment; the L4s take all the room.
    assert len(facts["containers"]) == 3
    assert busy_at_once(facts["containers"]) <= 2


def test_a_gpu_that_another_environment_has_is_waited_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.change(gpu_limit=2)
    pytester.makepyfile(SUITE.replace("0.4", "1.5"))
    pytester.makeini("[pytest]\nmodal_acquire_timeout = 3\n")
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=12)


ROUNDS = """
import pytest, pytest_modal, time

@pytest_modal.fixture(gpu="T4")
def answers():
    time.sleep(0.5)
    return [{"id": n, "input": n, "correct": True} for n in range(9)]

def test_accuracy(answers, accuracy_gate):
    accuracy_gate("toy", answers)
"""


@pytest.mark.parametrize(("most", "at_once"), [(10, 3), (1, 1)])
def test_the_sessions_of_a_recording_share_the_gpus(
    pytester: pytest.Pytester, modal_server: LoopbackModal, most: int, at_once: int
) -> None:
    pytester.makepyfile(ROUNDS)
    pytester.makeini(f"[pytest]\nmodal_baseline_rounds = 3\nmodal_max_gpus = {most}\n")
    result = pytester.runpytest_subprocess("--modal", "--modal-update-baselines", timeout=90)
    result.assert_outcomes(passed=1)
    facts = modal_server.facts()
    assert len(facts["apps"]) == len(facts["containers"]) == 3
    assert busy_at_once(facts["inputs"]) == at_once


def test_what_modal_says_of_a_gpu_that_does_not_come_is_shown(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.fail("gpu", times=None, gpu="A10")
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\nmodal_acquire_timeout = 4\n")
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", "-k", "test_2", timeout=90)
    result.assert_outcomes(errors=3, deselected=9)
    said = "Function `A10.*` (*) is waiting to be scheduled on a GPU_A10 worker.*"
    result.stdout.fnmatch_lines(
        [f"modal: Modal says: {said}", f"no container with A10 within * s*; Modal says: {said}"]
    )


def test_the_plan_says_how_many_gpus_work_at_once(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("--modal", "--modal-plan")
    assert "up to 4 GPUs at once: 1 x T4, 2 x L4, 1 x A10" in result.outlines
    assert not any("at once" in line for line in pytester.runpytest_subprocess("--modal-plan").outlines)


def test_a_wrong_number_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest("-o", "modal_max_gpus=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: modal_max_gpus = '0' is not valid", "*what to do: set it to a number of GPUs*"]
    )


ENVIRONMENTS = "import pytest, time\n" + "".join(
    f"""
def f{number}():
    time.sleep({seconds})

@pytest.mark.modal_gpu(function=f{number}, gpu="{gpu}")
def test_{number}(modal_result): pass
"""
    for number, (gpu, seconds) in enumerate((("T4", 0), ("A10", 1.5), ("L4", 3)))
)


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_what_took_longest_in_the_last_run_starts_first(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    def order(*arguments: str) -> list[str]:
        modal_server.reset()
        result = pytester.runpytest_subprocess(
            "--modal", "-p", "no:randomly", "-o", "modal_max_gpus=1", *arguments, *workers, timeout=90
        )
        assert result.ret == 0
        containers = sorted(modal_server.facts()["containers"], key=lambda each: float(each["created_at"]))
        return [str(each["gpu"]) for each in containers]

    pytester.makepyfile(ENVIRONMENTS)
    assert order("-k", "test_0 or test_2") == ["T4", "L4"]
    # Of the others nothing is known: a new image may be built for them.
    assert order() == ["A10", "L4", "T4"]
    assert order() == ["L4", "A10", "T4"]
