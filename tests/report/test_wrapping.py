"""Lines are broken at words, and what is copied from them stays whole."""

from __future__ import annotations

import pytest
from literal_lines import unwrapped

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
