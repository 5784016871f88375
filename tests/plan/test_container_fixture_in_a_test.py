"""A container fixture's value never leaves its container: a test that has got its stand-in does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from literal_lines import assert_lines
from suite_run import run_suite, section

from pytest_modal.local.container_value import ContainerValue

MODEL = """
    import pytest
    import pytest_modal

    @pytest_modal.fixture(scope="container", gpu="T4")
    def model():
        raise RuntimeError("never built")
"""
REMEDY = "  what to do: write a @pytest_modal.fixture that requests 'model' and returns data, and request that"
LATE = (
    "  what to do: write a @pytest_modal.fixture that requests 'model' and returns data, and request that as a "
    "parameter of the test: request.getfixturevalue() runs after the batch was sent"
)
# The tests of a file; none of them runs anything on a GPU.
REQUESTED = {
    "parameter": "def test_parameter(model): assert model is not None",
    "marked": "@pytest.mark.modal_gpu\n    def test_marked(model): assert model is not None",
    "method": "class TestIt:\n        def test_method(self, model): assert model is not None",
    "local_fixture": """
    @pytest.fixture
    def wrapped(model): return {"model": model}

    def test_local_fixture(wrapped): assert wrapped["model"] is not None
    """,
    "autouse": """
    @pytest.fixture(autouse=True)
    def always(model): return {"model": model}

    def test_autouse(): pass
    """,
}
BY = {"local_fixture": "fixture 'wrapped'", "autouse": "fixture 'always'"}


@pytest.mark.parametrize("mode", ["local", "modal", "replay"])
def test_it_is_an_error_of_that_test_alone_that_says_what_to_write(pytester: pytest.Pytester, mode: str) -> None:
    pytester.makepyfile(**{f"test_{name}": f"{MODEL}\n    {tests}" for name, tests in REQUESTED.items()})
    pytester.makepyfile(test_plain="def test_plain(): pass")
    result = pytester.runpytest("-p", "no:randomly", f"--modal-mode={mode}")
    result.assert_outcomes(passed=1, errors=len(REQUESTED))
    for name in REQUESTED:
        inside = "::TestIt" if name == "method" else ""
        by = BY.get(name, f"test_{name}")
        assert_lines(
            result.outlines,
            [
                f"{by} requests the container fixture 'model', but its value never leaves the container",
                f"  where: test_{name}.py{inside}::test_{name}",
                REMEDY,
            ],
            consecutive=True,
        )


def test_one_that_only_usefixtures_names_runs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""{MODEL}
    @pytest.mark.usefixtures("model")
    def test_it(): pass
    """
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    assert_lines(
        result.outlines,
        [
            "the test uses 'model' and no remote fixture that returns data: nothing would run on a GPU",
            "  where: *::test_it",
            "  what to do: request a @pytest_modal.fixture that requests 'model' and returns data",
        ],
        consecutive=True,
    )


@pytest.mark.parametrize(
    "others", ["", "\n    def test_answers(answers): assert answers == 3\n"], ids=["alone", "after"]
)
def test_one_that_is_requested_too_late_fails_that_test_alone(pytester: pytest.Pytester, others: str) -> None:
    pytester.makepyfile(
        test_late=f"""
    import pytest
    import pytest_modal

    @pytest_modal.fixture(scope="container")
    def model(): return 3

    @pytest_modal.fixture
    def answers(model): return model

    @pytest.fixture
    def late(request): return request.getfixturevalue("model")
    {others}
    def test_in_its_body(request): assert request.getfixturevalue("model") is not None
    def test_in_a_fixture(late): assert late is not None

    class TestTwice:
        def test_again(self, request): request.getfixturevalue("model")
    """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=bool(others), failed=2, errors=1)
    what = "the test requests the container fixture 'model', but its value never leaves the container"
    assert "\n".join([what, "  where: test_late.py::test_in_its_body", LATE]) in result.stdout.str()
    assert result.stdout.str().count(what) == 3


def test_remote_fixtures_and_usefixtures_go_on_taking_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="container", params=[2, 3])
        def model(request): return request.param

        @pytest_modal.fixture(scope="session")
        def answers(model): return model

        @pytest.fixture(scope="module")
        def table(answers): return {"answers": answers}

        @pytest.mark.usefixtures("model")
        class TestAll:
            def test_answers(self, answers): assert answers in (2, 3)
            def test_table(self, table): assert table["answers"] in (2, 3)
        """
    )
    pytester.runpytest().assert_outcomes(passed=4)


USES = {
    "bool": "assert model",
    "not": "assert not model",
    "equal": "assert model == 3",
    "unequal": "assert model != 3",
    "less": "assert model < 3",
    "in a list": "assert model in [1]",
    "inside": "assert 1 in model",
    "attribute": "model.generate",
    "hasattr": "assert not hasattr(model, 'generate')",
    "getattr": "getattr(model, 'config', None)",
    "set attribute": "model.training = False",
    "call": "model('prompt')",
    "method": "model.generate('prompt')",
    "iteration": "list(model)",
    "unpacking": "tokenizer, network = model",
    "len": "len(model)",
    "item": "model[0]",
    "set item": "model[0] = 1",
    "sum": "model + 1",
    "sum from the right": "1 + model",
    "in place": "model += 1",
    "matrix product": "model @ model",
    "negative": "-model",
    "float": "float(model)",
    "round": "round(model)",
    "index": "[1][model]",
    "str": "str(model)",
    "f-string": "f'{model}'",
    "print": "print(model)",
    "hash": "{model: 1}",
    "with": "with model: pass",
    "deepcopy": "import copy; copy.deepcopy(model)",
    "pickle": "import pickle; pickle.dumps(model)",
    "numpy": "import numpy; numpy.asarray(model)",
    "json": "try:\n    model.config\nexcept Exception:\n    pass",
}


@pytest.mark.parametrize("use", USES)
def test_its_stand_in_refuses_every_use(use: str) -> None:
    model = ContainerValue("model", "test_it.py:5")
    with pytest.raises(pytest.fail.Exception) as refused:
        exec(USES[use], {"model": model})
    what, where, remedy = str(refused.value).splitlines()
    assert what.startswith("the value of the container fixture 'model' never leaves the container, but the test uses ")
    assert (where, remedy) == ("  where: test_it.py:5", REMEDY)


def test_its_stand_in_is_shown_in_tracebacks() -> None:
    assert repr(ContainerValue("model", "test_it.py:5")) == "<container fixture 'model'>"


def test_a_use_is_shown_with_its_line(tmp_path: Path, plain_environment: dict[str, str]) -> None:
    source = """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model(): return 3

        @pytest_modal.fixture
        def answers(model): return model

        def test_it(answers, request):
            model = request.getfixturevalue("model")
            assert model == 3
    """
    result = run_suite(tmp_path, {"test_it.py": source}, "--showlocals", env=plain_environment)
    result.assert_outcomes(failed=1)
    lines = section(result, "test_it")
    assert_lines(
        lines,
        [
            ">       assert model == 3",
            "E       Failed: the value of the container fixture 'model' never leaves the container, "
            "but the test uses a comparison with it",
            "E         where: *test_it.py:3",
            f"E       {REMEDY}",
            "model      = <container fixture 'model'>",
        ],
    )
