"""What a user may declare, and what is refused with a way out."""

from __future__ import annotations

import pytest

import pytest_modal
from pytest_modal.declare.keywords import DeclarationError


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"gpus": "T4"}, "did you mean 'gpu'?"),
        ({"package": ["torch"]}, "did you mean 'packages'?"),
        ({"scope": "contianer"}, "did you mean 'container'?"),
        ({"packages": "torch"}, 'set packages= to a list of names, such as ["torch", "transformers"]'),
        ({"timeout": 0}, "timeout=0 is not valid"),
        ({"timeout": "1h"}, "set timeout= to a positive number"),
        ({"retries": 1.5}, "set retries= to a whole number, 0 or more"),
        ({"env": {"A": 1}}, "set env= to a dict of str to str"),
        ({"env": {"": "1"}}, "set env= to variables with a name"),
        ({"env": {"A=B": "1"}}, 'in which there is no "="'),
        ({"env": {"A": "1\x002"}}, "variables without null characters"),
        ({"env": {"A": "\ud800"}}, "variables without lone surrogates"),
        ({"env": {"A": "x" * 200_000}}, "variables of less than 128 KiB each; pass more as data"),
        ({"secrets": 5}, "set secrets= to a list"),
        ({"image": "debian"}, "set image= to a modal.Image, such as modal.Image.debian_slim()"),
        ({"cpu": (1, 2, 3)}, "set cpu= to one value, or two: what a container gets, and its limit"),
        ({"cpu": (1, 0)}, "set cpu= to a positive number"),
        ({"memory": (1024, 0.5)}, "set memory= to a whole number, 1 or more"),
        ({"modal": ["cloud"]}, "set modal= to a dict whose keys are str"),
        ({"modal": {"gpu": "T4"}}, "set modal= to settings of Modal Functions that have no keyword here: not 'gpu'"),
        ({"modal": {"serialized": False}}, "not 'serialized'"),
        ({"shard": "problem"}, "use one of"),
        ({"round": 1}, "unknown keyword 'round'"),
        ({"rounds": 1}, "use one of"),  # what is internal is not suggested either
    ],
)
def test_a_wrong_keyword_is_refused_with_the_right_one(keywords: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        pytest_modal.fixture(_answers, **keywords)
    assert said in str(refused.value)
    assert "test_declare.py:" in str(refused.value)
    assert len(str(refused.value)) < 1000


def _answers(model: object) -> None: ...


async def _asynchronous() -> None: ...


def _generator() -> object:
    yield 1


def _star(*args: object) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_asynchronous, "is async"),
        (_generator, "is a generator, but only container fixtures may yield"),
        (_star, "parameter 'args' can't be bound by name"),
        (print, "is not a plain function"),
    ],
)
def test_a_function_that_cannot_be_shipped_is_refused(function: object, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        pytest_modal.fixture(function)  # type: ignore[arg-type]


def test_a_mock_with_other_parameters_is_refused() -> None:
    with pytest.raises(DeclarationError, match="mock takes prompts, which _answers does not"):
        pytest_modal.fixture(_answers, mock=_mock_of_something_else)


def _mock_of_something_else(prompts: object) -> None: ...


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("modal_gpu(gpus='T4', function=f)", "*did you mean 'gpu'?*"),
        ("modal_gpu(args={'a': 1})", "*args=, mock= and shard= need a function=*"),
        ("modal_gpu(function=f, args={'b': 1})", "*args= names ?'b'?, which f does not take*"),
        ("modal_gpu('T4', function=f)", "*takes keywords only, not 'T4'*"),
    ],
)
def test_a_wrong_marker_is_an_error_of_its_test(pytester: pytest.Pytester, marker: str, said: str) -> None:
    pytester.makepyfile(f"import pytest\ndef f(a=1): return a\n@pytest.mark.{marker}\ndef test_it(modal_result): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", said])


def test_strict_markers_know_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\ndef f(): return 1\n@pytest.mark.modal_gpu(function=f)\n"
        "def test_it(modal_result): assert modal_result == 1"
    )
    pytester.runpytest("--strict-markers", "--strict-config", "-Werror", "-pno:asyncio").assert_outcomes(passed=1)
