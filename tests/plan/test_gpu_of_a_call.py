"""The GPU of a call: the nearest marker decides, and a misspelt name is found before anything is sent."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines

from pytest_modal.declare.gpus import GPUS, as_modal_takes, wrong_gpu

MARKERS = """
import pytest

pytestmark = pytest.mark.modal_gpu(gpu="L4", timeout=1)

def body(): return 1
def other(): return 2

@pytest.mark.modal_gpu(gpu="A10", function=body)
class TestIt:
    def test_of_the_class(self, modal_result): pass

    @pytest.mark.modal_gpu(gpu="T4")
    def test_of_the_function(self, modal_result): pass

    @pytest.mark.parametrize("n", [
        pytest.param(1, marks=pytest.mark.modal_gpu(gpu="H100!")),
        pytest.param(2, marks=[pytest.mark.slow, pytest.mark.modal_gpu(gpu="L4:4", function=other)]),
        3,
    ])
    @pytest.mark.modal_gpu(gpu="T4", timeout=2)
    def test_of_the_parameter(self, n, modal_result): pass

@pytest.mark.parametrize("m", [pytest.param(1, marks=pytest.mark.modal_gpu(gpu="H200"))])
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.modal_gpu(gpu="B200"))])
@pytest.mark.modal_gpu(function=body)
def test_of_the_nearest_parameter(m, n, modal_result): pass

@pytest.mark.modal_gpu(function=body)
def test_of_the_module(modal_result): pass
"""


@pytest.mark.parametrize(
    ("test", "environment", "call"),
    [
        ("test_of_the_module", "L4; timeout 1 s", "body"),
        ("test_of_the_class", "A10; timeout 1 s", "body"),
        ("test_of_the_function", "T4; timeout 1 s", "body"),
        ("test_of_the_parameter[1]", "H100!; timeout 2 s", "body"),
        ("test_of_the_parameter[2]", "L4:4; timeout 2 s", "other"),
        ("test_of_the_parameter[3]", "T4; timeout 2 s", "body"),
        ("test_of_the_nearest_parameter[1-1]", "B200; timeout 1 s", "body"),
    ],
)
def test_the_nearest_marker_wins(pytester: pytest.Pytester, test: str, environment: str, call: str) -> None:
    pytester.makepyfile(MARKERS)
    pytester.makeini("[pytest]\nmarkers = slow")
    result = pytester.runpytest("--modal-plan", "-k", test)
    assert_lines(result.outlines, [f"environment: {environment}", f"  call {call}  (*)"])


@pytest.mark.parametrize("given", [*GPUS, "t4", "h100", "rtx-pro-6000", "any", "T4:1", "H100!:8", "A10:4", "b200+:2"])
def test_what_modal_has_is_accepted(given: str) -> None:
    assert wrong_gpu(given) is None
    assert as_modal_takes(given) == given


@pytest.mark.parametrize(
    ("given", "sent"), [("X1!", "X1"), ("X1!:16", "X1:16"), ("x-2!", "x-2"), ("T4!", "T4"), ("H100!", "H100!")]
)
def test_a_name_that_is_newer_than_the_list_goes_through(given: str, sent: str) -> None:
    assert wrong_gpu(given) is None
    assert as_modal_takes(given) == sent


@pytest.mark.parametrize(
    ("given", "what", "remedy"),
    [
        ("T5", "'T5' is not a GPU of Modal", "did you mean 'T4'? for a GPU newer than this list (*), write gpu='T5!'"),
        ("A100-80", "'A100-80' is not a GPU of Modal", "did you mean 'A100-80GB'? *"),
        ("A100 80GB", "'A100 80GB' is not a GPU of Modal", "did you mean 'A100-80GB'? *"),
        ("h1000", "'h1000' is not a GPU of Modal", "did you mean 'H100'? *write gpu='h1000!'"),
        ("L40:2", "'L40:2' is not a GPU of Modal", "did you mean 'L40S'? *write gpu='L40!:2'"),
        ("gpu", "'gpu' is not a GPU of Modal", "use one of T4, L4, A10, *; for a GPU newer than *, write gpu='gpu!'"),
        ("", "'' is not a GPU of Modal", "use one of T4, L4, A10, *, or gpu=None for none"),
        ("!", "'!' is not a GPU of Modal", "use one of T4, *"),
        ("T4:", "'T4:' has no number of GPUs after the colon", "write a whole number, such as T4:2"),
        ("T4:0", "'T4:0' has no number of GPUs after the colon", "write a whole number, such as T4:2"),
        ("T4:two", "'T4:two' has no number of GPUs after the colon", "write a whole number, such as T4:2"),
        ("X1!:two", "'X1!:two' has no number of GPUs after the colon", "write a whole number, such as X1!:2"),
        ("H100:9", "'H100:9': a container gets at most 8 GPUs of type H100", "write H100:8 or fewer"),
        ("A10:8", "'A10:8': a container gets at most 4 GPUs of type A10", "write A10:4 or fewer"),
    ],
)
def test_what_modal_does_not_have_is_refused_with_a_suggestion(given: str, what: str, remedy: str) -> None:
    wrong = wrong_gpu(given)
    assert wrong is not None
    assert_lines(list(wrong), [what, remedy], consecutive=True)


MISSPELT = """
import pytest
import pytest_modal

@pytest_modal.fixture(scope="container", gpu="T5")
def model(): return 1

@pytest_modal.fixture
def answers(model): return model

@pytest_modal.fixture(gpu=["H100", "B20"])
def rows(): return 1

@pytest_modal.fixture
def good(): return 1

def test_of_its_container_fixture(answers): pass
def test_of_a_list(rows): pass

@pytest.mark.modal_gpu(gpu="T5")
def test_of_the_marker(good): pass

@pytest.mark.modal_gpu(gpu="T4")
def test_overridden(answers): pass

@pytest.mark.modal_gpu(gpu="X1!")
def test_allowed(good): pass

def test_good(good): pass
"""
ERRORS = [
    "gpu='T5' is not a GPU of Modal",
    "  where: *:*, for *::test_of_its_container_fixture",
    "  what to do: did you mean 'T4'? for a GPU newer than this list (*), write gpu='T5!'",
    "gpu='B20' is not a GPU of Modal",
    "  where: *:*, for *::test_of_a_list",
    "  what to do: did you mean 'B200'? for a GPU newer than this list (*), write gpu='B20!'",
    "gpu='T5' is not a GPU of Modal",
    "  where: *::test_of_the_marker",
    "  what to do: did you mean 'T4'? for a GPU newer than this list (*), write gpu='T5!'",
]


def test_a_misspelt_gpu_fails_its_test_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MISSPELT)
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert_lines(result.outlines, ERRORS)


@pytest.mark.parametrize("mode", ["modal", "replay"])
def test_it_is_found_in_every_mode(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(MISSPELT)
    result = pytester.runpytest("-p", "no:randomly", f"--modal-mode={mode}", "-k", "test_of_")
    result.assert_outcomes(errors=3, deselected=3)
    assert_lines(result.outlines, ERRORS)


@pytest.mark.parametrize("gpu", ["T5", "H100, T5"])
def test_a_misspelt_gpu_of_the_project_is_a_usage_error(pytester: pytest.Pytester, gpu: str) -> None:
    pytester.makepyfile(MISSPELT)
    pytester.makeini(f"[pytest]\nmodal_gpu = {gpu}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_lines(
        result.errlines,
        [
            "ERROR: modal_gpu: 'T5' is not a GPU of Modal",
            "  where: *tox.ini",
            "  what to do: did you mean 'T4'? for a GPU newer than this list (*), write gpu='T5!'",
        ],
        consecutive=True,
    )
