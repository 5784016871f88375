"""A small sample of the fuzzing, the same each time; ``python -m fuzz --help`` in ``tests/`` is for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import watched


@pytest.mark.parametrize("reader", watched.READERS)
def test_hostile_input_is_a_value_or_a_clear_error(reader: str) -> None:
    assert watched.fuzz(reader, 1_000) == []


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise KeyError('x')", "KeyError: 'x' ("),
        ("os.abort()", "the process ended, exit status -6"),
        ("time.sleep(60)", "no answer in 1 s"),
    ],
)
def test_each_kind_of_fault_is_found_with_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, does: str, said: str
) -> None:
    # The process that reads imports this in place of the readers.
    package = tmp_path / "faulty"
    package.mkdir()
    (package / "readers.py").write_text(FAULTY.replace("DOES", does))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(watched, "MOST_SECONDS", 1.0)
    found = watched.fuzz("decoder", 4, readers="faulty.readers")
    assert [each.startswith(f"decoder: --seed 0 --first 2: {said}") for each in found] == [True]


FAULTY = """
import os, time

class Decoder:
    def __init__(self, directory):
        self.number = -1

    def once(self, rng):
        self.number += 1
        if self.number == 2:
            DOES
        return True

ALL = (Decoder,)
"""
