"""How messages are worded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_modal.wording import count, first_few, safe, safe_line, some, three_parts


def test_a_message_has_three_parts() -> None:
    assert three_parts("it broke", "test_it.py:3", "fix it") == "it broke\n  where: test_it.py:3\n  what to do: fix it"


def test_numbers_are_counted_with_their_noun() -> None:
    assert [count(number, "call") for number in (0, 1, 2, 12_345)] == ["0 calls", "1 call", "2 calls", "12,345 calls"]


def test_of_many_names_the_first_few_are_shown() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few(map(str, range(2_000)), 2) == "0, 1 and 1,998 more"
    assert some(["a\n", 1]) == "'a\\n', 1"


def test_safe_text_keeps_its_lines_and_shows_what_would_steer_a_terminal() -> None:
    assert safe("größer 日本\n\tfamily 👨\u200d👩") == "größer 日本\n\tfamily 👨\u200d👩"
    assert safe("\x1b[2J\r\x9b \u202e \ufeff \ud800") == r"\x1b[2J\r\x9b \u202e \ufeff \ud800"


@given(st.text(st.characters(), max_size=100), st.integers(10, 50))
def test_a_safe_line_is_one_printable_line(text: str, limit: int) -> None:
    line = safe_line(text, limit)
    assert line.isprintable() or line == ""
    assert len(text) > limit or text.isprintable() is (line == text) or not text


def test_a_long_line_is_cut() -> None:
    assert safe_line("0123456789", 8) == "0123 ..."
