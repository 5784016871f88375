"""Lines are broken at words, and what is copied from them stays whole."""

from __future__ import annotations

import pytest
from literal_lines import unwrapped

from pytest_modal.batch.durations import duration, rough, whole
from pytest_modal.report.wrapping import columns, cut, wrapped


@pytest.mark.parametrize(
    ("line", "width", "lines"),
    [
        ("short", 80, ["short"]),
        ("one two three", 9, ["one two", "    three"]),
        ("  one two three", 13, ["  one two", "      three"]),
        ("two  spaces stay", 12, ["two  spaces", "    stay"]),
        ("see test_it.py::test_it[a b c d] there", 20, ["see", "    test_it.py::test_it[a b c d]", "    there"]),
        ("change [-6.9, -1.7] now", 16, ["change", "    [-6.9, -1.7]", "    now"]),
        ("it took 1 min 12 s", 15, ["it took 1 min", "    12 s"]),
        ("it took long 7.5 s", 17, ["it took long", "    7.5 s"]),
        ("please run `pytest --modal -x` now", 24, ["please run", "    `pytest --modal -x`", "    now"]),
        ('because "of many words here"', 14, ['because "of', "    many words", '    here"']),
        ("https://example.org/" + "x" * 30 + " is long", 20, ["https://example.org/" + "x" * 30, "    is long"]),
        ("あああ いいい ううう", 16, ["あああ いいい", "    ううう"]),
        ("any width", 0, ["any width"]),
        ("", 10, [""]),
    ],
)
def test_a_line_is_broken_where_it_may_be(line: str, width: int, lines: list[str]) -> None:
    assert wrapped(line, width) == lines
    if "  spaces" not in line:
        assert unwrapped(lines) == [line]


def test_columns_are_those_of_a_terminal() -> None:
    assert [columns(text) for text in ("abc", "あ", "e\u0301", "a\u200db", "━")] == [3, 2, 1, 2, 1]
    assert [cut(text, 6) for text in ("abcdef", "abcdefg", "ああああ")] == ["abcdef", "abc...", "あ..."]
    assert [cut("abcdef", width) for width in (3, 1, 0)] == ["...", ".", ""]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.424, "0.42 s"),
        (0.999, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (72, "1 min 12 s"),
        (3_599.6, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "24 h"),
        (-1, "0.00 s"),
    ],
)
def test_a_duration_is_said_in_its_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_is_not_known_exactly_is_not_said_exactly() -> None:
    assert [rough(seconds) for seconds in (0.1, 21, 31, 120, 121, 4_000)] == [
        "5 s",
        "25 s",
        "40 s",
        "2 min",
        "3 min",
        "1 h 7 min",
    ]
    assert [whole(seconds) for seconds in (0.9, 59.9, 72.9)] == ["0 s", "59 s", "1 min 12 s"]
