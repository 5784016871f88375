"""Remote fixtures behave as pytest's own: found by name, overridden, parametrized, post-processed."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines_in_any_order


def test_parametrization_at_every_level(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal


        @pytest_modal.fixture(scope="container", params=["small", "large"])
        def model(request):
            return {"small": 1, "large": 10}[request.param]


        @pytest_modal.fixture(params=[2, 3], ids=["two", "three"])
        def scaled(request, model):
            return request.param * model


        def test_both(scaled):
            assert scaled in (2, 3, 20, 30)


        @pytest_modal.fixture
        def power(base, exponent):
            return base ** exponent


        @pytest.mark.parametrize("base", [2, 3])
        class TestPowers:
            @pytest.mark.parametrize("exponent", [1, 2])
            def test_power(self, power, base, exponent):
                assert power == base**exponent


        @pytest_modal.fixture
        def indirect(request):
            return request.param + 1


        @pytest.mark.parametrize("indirect", [1, 2], indirect=True)
        def test_indirect(indirect, request):
            assert indirect in (2, 3)


        @pytest.mark.parametrize("power", [99])
        def test_overridden_by_a_value(power):
            assert power == 99


        def pytest_generate_tests(metafunc):
            if "generated" in metafunc.fixturenames:
                metafunc.parametrize("generated", [7, 8])

        def double(generated):
            return 2 * generated

        @pytest.mark.modal_gpu(function=double)
        def test_generated(modal_result, generated):
            assert modal_result == 2 * generated
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=13)
    assert_lines_in_any_order(result.stdout.lines, ["loaded model[small]: 1 time,*", "loaded model[large]: 1 time,*"])


def test_overrides_usefixtures_and_local_post_processing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        import pytest_modal

        @pytest.fixture(scope="session")
        def problems():
            return [1, 2, 3]

        @pytest_modal.fixture
        def answers(problems):
            return [10 * problem for problem in problems]
        """
    )
    nearer = pytester.mkpydir("nearer")
    (nearer / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef answers(answers):\n    return [*answers, 'graded']\n"
    )
    (nearer / "test_nearer.py").write_text("def test_it(answers): assert answers == [10, 20, 30, 'graded']\n")
    other = pytester.mkpydir("other")
    (other / "test_other.py").write_text(
        "import pytest, pytest_modal\n"
        "@pytest.fixture(scope='module')\n"
        "def problems(): return [5]\n"
        "@pytest_modal.fixture\n"
        "def total(answers): return sum(answers)\n"
        "@pytest.fixture\n"
        "def report(total, answers): return f'{answers} makes {total}'\n"
        "def test_it(report): assert report == '[50] makes 50'\n"
        "@pytest.mark.usefixtures('answers')\n"
        "class TestUsing:\n"
        "    def test_value(self, request): assert request.getfixturevalue('answers') == [50]\n"
    )
    (other / "test_unittest.py").write_text(
        "import pytest, unittest\n"
        "class TestOld(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n"
        "    def _get(self, answers): self.answers = answers\n"
        "    def test_it(self): self.assertEqual(self.answers, [10, 20, 30])\n"
    )
    deepest = other / "remote"
    deepest.mkdir()
    (deepest / "test_override.py").write_text(
        "import pytest_modal\n"
        "@pytest_modal.fixture\n"
        "def answers(answers): return [-answer for answer in answers]\n"
        "def test_it(answers): assert answers == [-10, -20, -30]\n"
    )
    pytester.runpytest("-Werror", "-pno:asyncio").assert_outcomes(passed=5)


def test_values_are_isolated_between_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def answers():
            return [{"id": 1}]

        def test_one(answers):
            answers[0]["id"] = 2
            assert answers == [{"id": 2}]

        def test_two(answers):
            assert answers == [{"id": 1}]
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["modal: *: 1 call for 2 tests*"])


def test_each_distinct_call_runs_once_whatever_the_scope(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="session")
        def wide():
            return 1

        @pytest.fixture(scope="session")
        def table(wide):
            return [wide]

        def same(x):
            return [x]

        @pytest.mark.parametrize("n", range(3))
        @pytest.mark.modal_gpu(function=same, args={"x": 5})
        def test_marked(modal_result, n, table):
            assert modal_result == [5] and table == [1]
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["modal: *: 2 calls for 3 tests*"])


def test_skipped_and_deselected_tests_send_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest.fixture(scope="session")
        def unavailable():
            pytest.skip("no network")

        @pytest_modal.fixture
        def needs_network(unavailable):
            raise AssertionError

        def one(): return 1
        def two(): raise AssertionError

        @pytest.mark.modal_gpu(function=one)
        def test_one(modal_result): assert modal_result == 1

        @pytest.mark.skip
        @pytest.mark.modal_gpu(function=two)
        def test_skipped(modal_result): pass

        @pytest.mark.skipif(True, reason="no")
        @pytest.mark.modal_gpu(function=two)
        def test_skipif(modal_result): pass

        @pytest.mark.xfail(run=False)
        @pytest.mark.modal_gpu(function=two)
        def test_xfailed(modal_result): pass

        @pytest.mark.modal_gpu(function=two)
        def test_deselected(modal_result): pass

        def test_skipped_by_a_fixture(needs_network): pass
        """
    )
    result = pytester.runpytest("-k", "not test_deselected")
    result.assert_outcomes(passed=1, skipped=3, xfailed=1, deselected=1)
    result.stdout.fnmatch_lines(["modal: *: 1 call for 1 test,*"])


def test_a_session_fixture_runs_once_and_a_session_seed_comes_first(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import random
        import pytest
        import pytest_modal

        made = []

        @pytest.fixture(scope="session", autouse=True)
        def seeded():
            random.seed(3)

        @pytest.fixture(scope="session")
        def problems():
            made.append(1)
            return [random.random()]

        @pytest_modal.fixture
        def answers(problems):
            return problems

        def test_it(answers, problems):
            assert answers == problems == [random.Random(3).random()]
            assert made == [1]
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=1)


def test_mocks_stand_in_on_this_machine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        def without_cuda(problems):
            return [0 for _ in problems]

        @pytest.fixture(scope="session")
        def problems():
            return ["a", "b"]

        @pytest_modal.fixture(scope="container", mock="no model")
        def model():
            raise AssertionError("needs CUDA")

        @pytest_modal.fixture(mock=without_cuda)
        def answers(model, problems):
            raise AssertionError("needs CUDA")

        @pytest_modal.fixture
        def name(model):
            return model

        def compute():
            raise AssertionError

        def test_it(answers, name):
            assert answers == [0, 0] and name == "no model"

        @pytest.mark.modal_gpu(function=compute, mock=None)
        def test_value(modal_result):
            assert modal_result is None
        """
    )
    pytester.runpytest().assert_outcomes(passed=2)


def test_a_sharded_list_comes_back_in_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import pytest_modal

        @pytest.fixture(scope="session")
        def problems():
            return list(range(10))

        @pytest_modal.fixture(shard="problems", max_containers=3)
        def squares(problems):
            assert len(problems) <= 4
            return [problem**2 for problem in problems]

        @pytest_modal.fixture
        def total(squares):
            return sum(squares)

        def test_it(squares, total):
            assert squares == [n**2 for n in range(10)] and total == 285
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["modal: *: 4 calls for 1 test*"])


def test_stand_ins_of_one_name_in_two_files_are_not_mixed_up(pytester: pytest.Pytester) -> None:
    source = """
        import pytest_modal

        @pytest_modal.fixture(mock=[{0}])
        def answers(): return 1

        def test_it(answers): assert answers == [{0}]
    """
    pytester.makepyfile(test_one=source.format(1), test_two=source.format(2))
    pytester.runpytest().assert_outcomes(passed=2)


def test_one_call_feeds_mixins_unittest_classes_and_tests_that_a_decorator_generates(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        import unittest
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="module")
        def table():
            return {1: 1, 2: 4, 3: 9}

        @pytest.fixture(scope="class")
        def on_class(request, table):
            request.cls.table = table

        def for_each(numbers):
            # As packages do that parametrize unittest's classes: the namespace gets a method for each case.
            def expand(method):
                namespace = sys._getframe(1).f_locals
                for index, number in enumerate(numbers):
                    def case(self, number=number): method(self, number)
                    case.__name__ = f"{method.__name__}_{index}"
                    namespace[case.__name__] = case
            return expand

        @pytest.mark.usefixtures("on_class")
        class TestSquares(unittest.TestCase):
            @for_each([1, 2])
            def test_square(self, number):
                assert self.table[number] == number**2

            def test_all(self):
                for number in self.table:
                    with self.subTest(number=number):
                        assert self.table[number] == number**2

        @pytest.mark.usefixtures("on_class")
        class ByClass(unittest.TestCase):
            def test_it(self):
                assert self.table[self.number] == self.number**2

        for each in (2, 3):
            name = f"TestByClass_{each}"
            globals()[name] = type(name, (ByClass,), {"number": each})
        del ByClass

        class Mixin:
            @pytest.fixture(autouse=True)
            def _take(self, table):
                self.taken = table

            def test_it(self):
                assert self.taken[self.number] == self.number**2

        class TestTwo(Mixin):
            number = 2

        class TestThree(Mixin):
            number = 3
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["modal: *: 1 call for 7 tests*"])
