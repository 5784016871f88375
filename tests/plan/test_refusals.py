"""What can't be sent is refused before anything is: each refusal says what, where and what to do.

One run has all the refused tests, each in its own file; some files have a test that is accepted too.
"""

from __future__ import annotations

import py_compile
from dataclasses import dataclass

import pytest
from suite_run import run_suite, section


@dataclass(frozen=True)
class Refusal:
    """A file whose test is refused, and the error of that test."""

    source: str
    what: str
    where: str = ""
    remedy: str = ""

    @property
    def lines(self) -> list[str]:
        """The whole error, as it is seen."""
        if not self.where:
            return [self.what]
        return [self.what, f"  where: {self.where}", f"  what to do: {self.remedy}"]


# By the name of the refused test, without "test_"; its file is named alike.
REFUSALS = {
    "fixture_of_pytest_with_function_scope": Refusal(
        """
        import pytest_modal

        @pytest_modal.fixture
        def answer(tmp_path): return 1

        def test_fixture_of_pytest_with_function_scope(answer): pass
        """,
        "remote fixture 'answer' requests the function-scoped local fixture 'tmp_path': "
        "its value at test time would differ from the one sent with the batch",
        "test_fixture_of_pytest_with_function_scope.py:3, "
        "for test_fixture_of_pytest_with_function_scope.py::test_fixture_of_pytest_with_function_scope",
        "return the data, and use 'tmp_path' in the test, where the result arrives",
    ),
    "a_volume_at_two_paths": Refusal(
        """
        import modal
        import pytest_modal

        @pytest_modal.fixture(scope="container", volumes={"/a": "weights", "/b": modal.Volume.from_name("weights")})
        def model(): return 1

        @pytest_modal.fixture
        def answer(model): return model

        def test_a_volume_at_two_paths(answer): pass
        """,
        "volumes= mounts modal.Volume.from_name('weights') at /a and at /b, and Modal mounts a volume only once",
        "test_a_volume_at_two_paths.py:4, for test_a_volume_at_two_paths.py::test_a_volume_at_two_paths",
        "mount it at one of them, and use that path in the functions",
    ),
    "fixture_with_function_scope": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest.fixture
        def per_test(): return 1

        @pytest_modal.fixture
        def answer(per_test): return 1

        def test_fixture_with_function_scope(answer): pass
        """,
        "remote fixture 'answer' requests the function-scoped local fixture 'per_test': "
        "its value at test time would differ from the one sent with the batch",
        "test_fixture_with_function_scope.py:7, "
        "for test_fixture_with_function_scope.py::test_fixture_with_function_scope",
        "set scope=\"module\" or wider on 'per_test', or use it in the test",
    ),
    "argument_that_is_not_data": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest.fixture(scope="session")
        def rows(): return [{1, 2}]

        @pytest_modal.fixture
        def answer(rows): return 1

        def test_argument_that_is_not_data(answer): pass
        """,
        "argument 'rows' of answer for test_argument_that_is_not_data.py::test_argument_that_is_not_data: "
        "rows[0]: set is not data; pass sorted(rows[0])",
    ),
    "parameter_that_is_unknown": Refusal(
        """
        import pytest_modal

        @pytest_modal.fixture
        def answer(unknown): return 1

        def test_parameter_that_is_unknown(answer): pass
        """,
        "parameter 'unknown' of answer is neither a fixture nor parametrized",
        "test_parameter_that_is_unknown.py:3, for test_parameter_that_is_unknown.py::test_parameter_that_is_unknown",
        "define a fixture 'unknown', or parametrize the test with it",
    ),
    "compiled_local_module": Refusal(
        """
        import compiled
        import pytest_modal

        @pytest_modal.fixture
        def answer(): return compiled.triple(1)

        def test_compiled_local_module(answer): pass
        """,
        "answer uses the local module 'compiled', but compiled.pyc is not Python source, so it can't travel (PM105)",
        "test_compiled_local_module.py:1",
        'ship it as it is: local_packages=["compiled"]',
    ),
    "open_file": Refusal(
        """
        import pytest_modal

        OUT = open("data.txt")

        @pytest_modal.fixture
        def answer(): return OUT.read()

        def test_open_file(answer): pass
        """,
        "answer uses OUT, which is an open file",
        "test_open_file.py:3",
        "open it in the function's body, or pass its content as a parameter",
    ),
    "pytest_in_the_function": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture
        def answer(): return pytest.approx(1)

        def test_pytest_in_the_function(answer): pass
        """,
        "answer uses 'pytest.approx', which a container does not have",
        "test_pytest_in_the_function.py:4",
        "return data from the function and use pytest.approx in the test; a container has pytest.skip, pytest.fail, "
        "pytest.xfail",
    ),
    "fixture_used_as_a_function": Refusal(
        """
        import pytest_modal
        from helpers import triple

        @pytest_modal.fixture
        def answer(): return good()

        @pytest_modal.fixture
        def good(): return triple(2)

        def test_fixture_used_as_a_function(answer): pass
        def test_good(good): assert good == 6
        """,
        "answer uses the fixture 'good' directly instead of requesting it",
        "test_fixture_used_as_a_function.py:4",
        "name the fixture as a parameter, as in pytest",
    ),
    "local_fixture_made_of_a_result": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="session")
        def first(): return 1

        @pytest.fixture(scope="session")
        def graded(first): return [first]

        @pytest_modal.fixture
        def answer(graded): return graded

        def test_local_fixture_made_of_a_result(answer): pass
        """,
        "answer requests the local fixture 'graded', which needs a result from the GPU: its value is not known when "
        "the batch is sent",
        "test_local_fixture_made_of_a_result.py:10, "
        "for test_local_fixture_made_of_a_result.py::test_local_fixture_made_of_a_result",
        "do that step on the GPU too: make 'graded' a @pytest_modal.fixture",
    ),
    "two_environments": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="container", gpu="T4")
        def small(): return 1

        @pytest_modal.fixture(scope="container", gpu="H100")
        def large(): return 1

        @pytest_modal.fixture
        def answer(small, large): return 1

        def test_two_environments(answer): pass

        @pytest.mark.modal_gpu(gpu="H100")
        def test_decided(answer): assert answer == 1
        """,
        "answer needs two environments: small declares gpu='T4', large declares gpu='H100'",
        "test_two_environments.py:4 and test_two_environments.py:7",
        "declare the same gpu on both, or set gpu= on answer",
    ),
    "container_fixture_in_a_test": Refusal(
        """
        import pytest_modal

        @pytest_modal.fixture(scope="container", gpu="T4")
        def small(): return 1

        @pytest_modal.fixture
        def good(): return 1

        def test_container_fixture_in_a_test(good, small): pass
        """,
        "test_container_fixture_in_a_test requests the container fixture 'small', but its value never leaves the "
        "container",
        "test_container_fixture_in_a_test.py::test_container_fixture_in_a_test",
        "write a @pytest_modal.fixture that requests 'small' and returns data, and request that",
    ),
    "data_fixture_that_outlives_a_parameter[a]": Refusal(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="session")
        def answer(name): return name

        @pytest.mark.parametrize("name", ["a"])
        def test_data_fixture_that_outlives_a_parameter(answer): pass

        @pytest.mark.parametrize("name", ["a"], scope="session")
        def test_named(answer): assert answer == "a"
        """,
        "remote fixture 'answer' has a wider scope than what it takes: "
        "'name', which is parametrized with scope 'function'",
        "test_data_fixture_that_outlives_a_parameter.py:4, "
        "for test_data_fixture_that_outlives_a_parameter.py::test_data_fixture_that_outlives_a_parameter[a]",
        "leave scope= out of 'answer': the same call runs once, whatever the scope",
    ),
    "data_fixture_that_outlives_another": Refusal(
        """
        import pytest_modal

        @pytest_modal.fixture
        def first(): return 1

        @pytest_modal.fixture(scope="module")
        def answer(first): return first

        def test_data_fixture_that_outlives_another(answer): pass
        """,
        "remote fixture 'answer' has a wider scope than what it takes: the fixture 'first' of scope 'function'",
        "test_data_fixture_that_outlives_another.py:6, "
        "for test_data_fixture_that_outlives_another.py::test_data_fixture_that_outlives_another",
        "leave scope= out of 'answer': the same call runs once, whatever the scope",
    ),
}
HELPERS = "VALUE = 3\ndef triple(x): return VALUE * x\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> pytest.RunResult:
    """The run of all these files."""
    files = {f"test_{name.partition('[')[0]}.py": refusal.source for name, refusal in REFUSALS.items()}
    directory = tmp_path_factory.mktemp("refusals")
    (directory / "compiled.source").write_text(HELPERS)
    py_compile.compile(str(directory / "compiled.source"), str(directory / "compiled.pyc"), doraise=True)
    return run_suite(directory, {**files, "helpers.py": HELPERS, "data.txt": "1"}, env=plain_environment)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_said_with_the_place_and_the_way_out(run: pytest.RunResult, name: str) -> None:
    assert section(run, f"ERROR at setup of test_{name}") == REFUSALS[name].lines


def test_all_refusals_of_a_run_are_told_at_once_and_the_rest_is_run(run: pytest.RunResult) -> None:
    run.assert_outcomes(passed=3, errors=len(REFUSALS))
