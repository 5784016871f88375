"""What can't be planned is an error at the tests concerned; the others run."""

from __future__ import annotations

import pytest


def test_all_refusals_of_a_run_are_told_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(helpers="VALUE = 3\ndef triple(x): return VALUE * x\n")
    pytester.makepyfile(
        test_it="""
        import threading
        import helpers
        import pytest
        import pytest_modal
        from helpers import triple

        @pytest.fixture(scope="session")
        def rows(): return [{1, 2}]

        @pytest.fixture
        def per_test(): return 1

        @pytest.fixture(scope="module")
        def per_module(): return 1

        LOCK = threading.Lock()

        @pytest_modal.fixture
        def takes_tmp_path(tmp_path): return 1
        @pytest_modal.fixture
        def takes_per_test(per_test): return 1
        @pytest_modal.fixture
        def takes_a_set(rows): return 1
        @pytest_modal.fixture
        def takes_nothing_known(unknown): return 1
        @pytest_modal.fixture
        def uses_a_module(): return helpers.triple(1)
        @pytest_modal.fixture
        def uses_a_lock():
            with LOCK: return 1
        @pytest_modal.fixture
        def uses_pytest(): return pytest.approx(1)
        @pytest_modal.fixture
        def uses_a_fixture_by_name(): return good()
        @pytest_modal.fixture
        def good(): return triple(2)
        @pytest.fixture(scope="session")
        def graded(first): return [first]
        @pytest_modal.fixture(scope="session")
        def first(): return 1
        @pytest_modal.fixture
        def takes_graded(graded): return graded
        @pytest_modal.fixture(scope="container", gpu="T4")
        def small(): return 1
        @pytest_modal.fixture(scope="container", gpu="H100")
        def large(): return 1
        @pytest_modal.fixture
        def takes_both(small, large): return 1
        @pytest_modal.fixture(scope="container")
        def per_module_container(per_module): return 1
        @pytest_modal.fixture
        def takes_it(per_module_container): return 1
        @pytest_modal.fixture(scope="container")
        def named(name): return name
        @pytest_modal.fixture
        def takes_named(named): return named

        def test_1(takes_tmp_path): pass
        def test_2(takes_per_test): pass
        def test_3(takes_a_set): pass
        def test_4(takes_nothing_known): pass
        def test_5(uses_a_module): pass
        def test_6(uses_a_lock): pass
        def test_7(uses_pytest): pass
        def test_8(uses_a_fixture_by_name): pass
        def test_9(takes_graded): pass
        def test_10(takes_both): pass
        def test_11(good, small): pass
        def test_12(takes_it): pass
        @pytest.mark.parametrize("name", ["a"])
        def test_13(takes_named): pass
        def test_good(good): assert good == 6
        @pytest.mark.parametrize("name", ["a"], scope="session")
        def test_named(takes_named): assert takes_named == "a"
        @pytest.mark.modal_gpu(gpu="H100")
        def test_decided(takes_both): assert takes_both == 1
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=13)
    result.stdout.fnmatch_lines(
        [
            "remote fixture 'takes_tmp_path' takes the function-scoped local fixture 'tmp_path': *",
            "  where: test_it.py:18, for test_it.py::test_1",
            "  what to do: give 'tmp_path' scope=\"module\" or wider, or use it in the test",
            "remote fixture 'takes_per_test' takes the function-scoped local fixture 'per_test': *",
            "argument 'rows' of takes_a_set for test_it.py::test_3: rows?0?: set is not data; return sorted(*",
            "parameter 'unknown' of takes_nothing_known is neither a fixture nor parametrized",
            "uses_a_module reaches the local module 'helpers', which a container does not have (PM105)",
            '  what to do: `from helpers import ...` *, or ship the package: local_packages=?"helpers"?',
            "uses_a_lock can't be shipped: *",
            "uses_pytest uses 'pytest', which a container does not have",
            "uses_a_fixture_by_name uses the fixture 'good' as if it were a value",
            "takes_graded takes the local fixture 'graded', which itself needs a result from the GPU",
            "takes_both can't be in two environments: small says gpu='T4', large says gpu='H100'",
            "test_11 asks for the container fixture 'small', whose value never leaves the GPU",
            "container fixture 'per_module_container' takes 'per_module' of scope 'module'; *",
            "container fixture 'named' takes 'name', which is parametrized for one test at a time; *",
            '  what to do: @pytest.mark.parametrize("name", ?...?, scope="session")',
        ]
    )


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
        ["the local fixture 'run_id' has another value now than when the batch was sent to answers*"]
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
            "*modal_result needs a function to be the result of*",
            "*answers was not planned: nothing that pytest knows before the tests run asks for it*",
            "*<the value of container fixture 'model', which lives on the GPU only> has no 'generate' here*",
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


def test_a_worker_sees_nothing_of_the_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(helpers="FACTOR = 10\ndef scale(x):\n    assert x > 0, 'positive'\n    return FACTOR * x\n")
    package = pytester.mkpydir("shipped")
    (package / "numbers.py").write_text("SEVEN = 7\n")
    (package / "data.bin").write_text("not shipped")
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

        def look():
            import importlib.util, os, sys
            assert os.listdir() == []
            found = {name: importlib.util.find_spec(name) is not None for name in ("helpers", "shipped")}
            loaded = sorted({"pytest", "_pytest", "pandas", "test_it"} & set(sys.modules))
            return [Point(2).shifted(), recursive(4), found, loaded, os.environ.get("MINE")]

        def with_package():
            import os, shipped.numbers
            return [shipped.numbers.SEVEN, sorted(os.listdir(os.path.dirname(shipped.__file__)))]

        @pytest.mark.modal_gpu(function=look, env={"MINE": "yes"})
        def test_look(modal_result):
            assert modal_result == [21, 24, {"helpers": False, "shipped": False}, [], "yes"]

        @pytest.mark.modal_gpu(function=with_package, local_packages=["shipped"])
        def test_package(modal_result):
            assert modal_result[0] == 7 and "data.bin" not in modal_result[1]
        """
    )
    pytester.syspathinsert()
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)
