"""Times and sizes are said in the units that people use, as exactly as they are read."""

from __future__ import annotations

import pytest

from pytest_modal.batch.quantities import duration, rough, size, whole


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.000_1, "< 1 ms"),
        (0.000_6, "1 ms"),
        (0.424, "424 ms"),
        (0.999, "999 ms"),
        (0.999_6, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (72, "1 min 12 s"),
        (3_599.6, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "24 h"),
        (-1, "0 s"),
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


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KiB"),
        (18_400, "18.0 KiB"),
        (188_000, "184 KiB"),
        (1_023_400, "999 KiB"),
        (1_023_600, "1.0 MiB"),
        (76.5 * 2**30, "76.5 GiB"),
        (5_000 * 2**30, "5,000 GiB"),
    ],
)
def test_a_size_is_said_in_its_unit(number: float, words: str) -> None:
    assert size(number) == words
