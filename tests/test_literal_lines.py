"""Expected lines are taken as they are written, and a line that is missing is named."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines, assert_lines_in_any_order, unwrapped

REPORT = [
    "modal: 2 calls",
    "",
    "work[raise] raised ValueError",
    "  where: test_it.py:7, in container ta-1",
    "work[exit]?",
]


@pytest.mark.parametrize(
    "line",
    ["work[raise] raised ValueError", "work[exit]?", "", "  where: test_it.py:7, in container *", "*raised*", "*"],
)
def test_brackets_and_question_marks_are_literal_and_a_star_is_any_text(line: str) -> None:
    assert_lines(REPORT, [line])
    assert_lines_in_any_order(REPORT, [line])


@pytest.mark.parametrize("line", ["work?raise? raised ValueError", "[w]ork[exit]?", "raised", "modal: 2 call"])
def test_what_only_a_pattern_would_match_is_missing(line: str) -> None:
    with pytest.raises(pytest.fail.Exception):
        assert_lines(REPORT, [line])
    with pytest.raises(pytest.fail.Exception):
        assert_lines_in_any_order(REPORT, [line])


def test_the_order_counts_unless_it_is_said_not_to() -> None:
    assert_lines(REPORT, ["modal: 2 calls", "work[exit]?"])
    assert_lines_in_any_order(REPORT, ["work[exit]?", "modal: 2 calls"])
    with pytest.raises(pytest.fail.Exception):
        assert_lines(REPORT, ["work[exit]?", "modal: 2 calls"])


def test_consecutive_lines_have_nothing_between_them() -> None:
    assert_lines(REPORT, ["work[raise] raised ValueError", "  where: *"], consecutive=True)
    with pytest.raises(pytest.fail.Exception, match=r"(?s)not next: 'work\[exit\]\?'.*instead: '  where: "):
        assert_lines(REPORT, ["work[raise] raised ValueError", "work[exit]?"], consecutive=True)


def test_one_seen_line_answers_one_expected_line() -> None:
    with pytest.raises(pytest.fail.Exception):
        assert_lines(REPORT, ["work[exit]?", "work[exit]?"])


def test_a_line_that_was_wrapped_is_one() -> None:
    seen = ["modal: warning: 3 calls", "    had a Tesla T4", "  what to do: move", "      them", "end"]
    assert_lines(seen, ["modal: warning: 3 calls had a Tesla T4", "  what to do: *them", "end"], consecutive=True)
    assert_lines(seen, ["modal: warning: 3 calls", "    had a Tesla T4"])
    assert unwrapped(seen) == ["modal: warning: 3 calls had a Tesla T4", "  what to do: move them", "end"]
    with pytest.raises(pytest.fail.Exception):
        assert_lines(seen, ["  what to do: move them end"])


def test_a_missing_line_is_shown_with_what_is_near_it() -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        assert_lines(REPORT, ["modal: 2 calls", "work[raise] raised KeyError"])
    assert str(caught.value).splitlines() == [
        "not seen: 'work[raise] raised KeyError'",
        "   after: 'modal: 2 calls'",
        "    near: 'work[raise] raised ValueError'",
        "what is seen there:",
        "  | ",
        "  | work[raise] raised ValueError",
        "  |   where: test_it.py:7, in container ta-1",
        "  | work[exit]?",
    ]


def test_a_line_in_the_wrong_place_is_shown_as_such() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"(?m)^   above: 'modal: 2 calls'$"):
        assert_lines(REPORT, ["work[exit]?", "modal: 2 calls"])
