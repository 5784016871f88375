"""What can't be planned is an error at the tests concerned; the others run."""

from __future__ import annotations

import pytest


def test_a_value_that_changed_since_it_was_sent_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal
        import uuid

        @pytest.fixture(scope="module")
        def run_id():
            return uuid.uuid4().hex

        @pytest.fixture(scope="module")
        def steady():
            return [float("nan"), 1]

        @pytest_modal.fixture
        def answers(run_id): return run_id

        @pytest_modal.fixture
        def good(steady): return steady[1]

        def echo(run_id): return run_id

        def test_changed(answers): pass
        def test_steady(good): assert good == 1

        @pytest.mark.modal_gpu(function=echo)
        def test_marked(modal_result): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["the local fixture 'run_id' has changed since the batch was sent: the result of answers was computed *"]
    )


def test_a_result_asked_for_too_late_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def answers(): return 1

        @pytest_modal.fixture(scope="container")
        def model(): return 1

        def test_late(request): request.getfixturevalue("answers")
        def test_model(request): request.getfixturevalue("model").generate()
        def test_no_function(modal_result): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(failed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "modal_result has no value: the test's marker names no function",
            "answers was not planned: no test or fixture requests it by name",
            "*the value of the container fixture 'model' never leaves the container, but the test uses its *'generate'",
        ]
    )


def test_a_local_fixture_that_fails_tells_by_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        calls = []

        @pytest.fixture(scope="module")
        def broken(): raise LookupError("no problems file")

        @pytest.fixture(scope="module")
        def once_broken():
            calls.append(1)
            if len(calls) == 1:
                raise LookupError("not yet")

        @pytest_modal.fixture
        def one(broken): return 1
        @pytest_modal.fixture
        def two(once_broken): return 1

        def test_one(one): pass
        def test_two(two): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "E * LookupError: no problems file",
            "two was not planned: a local fixture failed when the batch was planned: LookupError: not yet",
        ]
    )


def test_a_worker_sees_of_the_project_what_its_functions_need(pytester: pytest.Pytester) -> None:
    """Modules that they use are there, as far as they are used; other modules, other names and all files are not."""
    pytester.makepyfile(
        helpers="""
        import not_here_either
        FACTOR = 10
        UNUSED = not_here_either.ONE
        def scale(x):
            assert x > 0, 'positive'
            return FACTOR * x
        def unused(): return UNUSED
        """,
        not_here_either="ONE = 1",
    )
    package = pytester.mkpydir("shipped")
    (package / "numbers.py").write_text("SEVEN = 7\n")
    (package / "data.bin").write_text("shipped")
    (package / ".hidden").write_text("not shipped")
    pytester.makepyfile(
        """
        import pandas
        import pytest
        from helpers import scale

        CONSTANT = {"a": [1]}

        class Point:
            def __init__(self, x): self.x = x
            def shifted(self):
                assert self.x, "no x"
                return scale(self.x) + CONSTANT["a"][0]

        def recursive(n):
            assert n >= 0
            return 1 if n == 0 else n * recursive(n - 1)

        @pytest.fixture(scope="module")
        def names():  # names that are written in a function would be reached
            return ["helpers", "shipped", "not_here_either", "pytest", "_pytest", "pandas", __name__]

        def look(names):
            import importlib.util, os, sys
            assert os.listdir() == []
            here = [name for name in names if name in sys.modules]
            known = [name for name in names if name in here or importlib.util.find_spec(name.partition(".")[0])]
            own = {name: sorted(each for each in vars(sys.modules[name]) if each[0] != "_") for name in here}
            files = [os.path.exists(sys.modules[name].__file__) for name in here]
            return [Point(2).shifted(), recursive(4), known, own, files, os.environ.get("MINE")]

        def with_package():
            import os, shipped.numbers
            return [shipped.numbers.SEVEN, sorted(os.listdir(os.path.dirname(shipped.__file__)))]

        @pytest.mark.modal_gpu(function=look, env={"MINE": "yes"})
        def test_look(modal_result):
            *results, known, own, files, mine = modal_result
            assert results == [21, 24] and mine == "yes"
            # Packages that no function imports would not be in the image.
            assert known == ["helpers", __name__]
            assert own == {
                "helpers": ["FACTOR", "scale"], __name__: ["CONSTANT", "Point", "look", "recursive", "scale"]
            }
            assert files == [False, False]

        @pytest.mark.modal_gpu(function=with_package, local_packages=["shipped"])
        def test_package(modal_result):
            assert modal_result == [7, ["__init__.py", "data.bin", "numbers.py"]]
        """
    )
    pytester.syspathinsert()
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)
