"""What is sent, its key and what a test sees are of one value: a change in place is an error that names it."""

from __future__ import annotations

import textwrap

import pytest

HEAD = """
import dataclasses, functools
import numpy as np
import pytest
import pytest_modal

@dataclasses.dataclass
class Config:
    scale: int = 1

    @functools.cached_property
    def twice(self): return 2 * self.scale
"""

# What a fixture returns, the remote function's result from it, and what changes it.
VALUES = {
    "list": ("[1, 2, 3]", "len(lent)", "lent.append(99)"),
    "inside": ("({'a': [1]}, 2)", "lent[0]['a']", "lent[0]['a'].append(2)"),
    "array": ("np.zeros(4)", "float(lent.sum())", "lent += 1"),
    "element": ("np.zeros(1 << 20)", "float(lent.sum())", "lent[10_000] = 1"),
    "dataclass": ("Config()", "lent.scale", "lent.scale = 7"),
    "no data": ("{'a': 1}", "len(lent)", "lent['b'] = object()"),
}


@pytest.mark.parametrize("scope", ["function", "session"])
@pytest.mark.parametrize("kind", VALUES)
def test_what_a_test_changes_is_an_error_of_the_next_one(pytester: pytest.Pytester, kind: str, scope: str) -> None:
    value, answer, change = VALUES[kind]
    pytester.makepyfile(
        HEAD
        + f"""
@pytest.fixture(scope="session")
def lent(): return {value}

@pytest_modal.fixture(scope="{scope}")
def answer(lent): return {answer}

def test_first(lent, answer):
    {change}

def test_second(lent, answer): pass

def test_third(answer): pass
"""
    )
    result = pytester.runpytest("-p", "no:randomly")
    # Of a long array most tests look at a sample only, but the last one looks at all of it.
    result.assert_outcomes(passed=2 if kind == "element" else 1, errors=1 if kind == "element" else 2)
    result.stdout.fnmatch_lines(
        [
            "the local fixture 'lent' was changed in place after it was planned: the result of answer was computed "
            "from the old value",
            f"  where: *::test_{'third' if kind == 'element' else 'second'}",
            "  what to do: let no test and no fixture change 'lent': change a copy of it (copy.deepcopy)",
        ]
    )


CHANGES = {
    "array": (
        """
        @pytest.fixture(scope="session")
        def base(): return np.zeros(4)

        @pytest.fixture(scope="session")
        def shifted(base):
            base += 1
            return base
        """,
        "float({}.sum())",
        (0.0, 4.0),
    ),
    "shared": (
        """
        CONFIG = {"n": 0}

        @pytest.fixture(scope="session")
        def base(): return CONFIG

        @pytest.fixture(scope="session")
        def shifted():
            CONFIG["n"] = 4
            return CONFIG
        """,
        "{}['n']",
        (0, 4),
    ),
    "view": (
        """
        @pytest.fixture(scope="module")
        def base(): return np.zeros((2, 2))

        @pytest.fixture(scope="module")
        def shifted(base):
            base.reshape(-1)[:] = 1
            return [base]
        """,
        "float(np.sum({}))",
        (0.0, 4.0),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_a_fixture_changes_is_an_error_of_who_was_planned_with_the_old_value(
    pytester: pytest.Pytester, kind: str
) -> None:
    fixtures, answer, (_, after) = CHANGES[kind]
    pytester.makepyfile(
        HEAD
        + textwrap.dedent(fixtures)
        + f"""
@pytest_modal.fixture
def before(base): return {answer.format("base")}

@pytest_modal.fixture
def after(shifted): return {answer.format("shifted")}

def test_before(before): pass

def test_after(after): assert after == {after}
"""
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["the local fixture 'base' was changed in place after it was planned: *", "  where: *::test_before"]
    )


def test_a_value_that_a_fixture_changes_and_changes_back_is_sent_as_it_was_then(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
VALUES = [0]

def lent(number):
    @pytest.fixture(scope="session")
    def fixture():
        VALUES[0] = number
        return VALUES
    return fixture

zero, one, again = lent(0), lent(1), lent(0)

@pytest_modal.fixture
def of_zero(zero): return zero[0]

@pytest_modal.fixture
def of_one(one): return one[0]

@pytest_modal.fixture
def of_again(again): return again[0]

def test_zero(of_zero): assert of_zero == 0
def test_one(of_one): raise AssertionError("it was set up")
def test_again(of_again): assert of_again == 0
"""
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the local fixture 'one' was changed in place *"])


def test_parameters_and_arguments_of_the_marker_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
GIVEN = [1]
STATE = {"n": 1}

@pytest_modal.fixture(params=[STATE])
def of_param(request): return request.param["n"]

@pytest_modal.fixture
def total(numbers): return sum(numbers)

def total_of(given): return sum(given)

@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("numbers", [[1, 2]])
def test_parameter(numbers, total, again): numbers.append(3)

@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.modal_gpu(function=total_of, args={"given": GIVEN})
def test_marker(modal_result, again): GIVEN.append(3)

@pytest.mark.parametrize("again", [1, 2])
def test_param(of_param, again): STATE["n"] = 2
"""
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=3, errors=3)
    result.stdout.fnmatch_lines(
        [
            "the argument 'numbers' of total was changed in place *",
            "the argument 'given' of total_of was changed in place *",
            "the argument 'request.param' of of_param was changed in place *",
        ]
    )


def test_what_only_looks_like_a_change_is_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        HEAD
        + """
@pytest.fixture(scope="session")
def config(): return Config(3)

@pytest.fixture(scope="session")
def rows(): return [{"text": "a b"}, {"text": "a b"}]

@pytest.fixture(scope="session")
def image(): return np.arange(1 << 20)

@pytest_modal.fixture
def answer(config, rows, image): return config.twice + len(rows) + int(image[3])

@pytest.mark.parametrize("again", [1, 2])
def test_answer(answer, config, rows, image, again):
    assert answer == config.twice + len(rows) + 3
    rows[0]["text"] = " ".join("ab")  # equal, and another object
    rows.append(rows.pop())
    image += 1
    image -= 1
"""
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=2)
