"""Entries of the run's record that are a gate's: the rounds of its baseline, the items that flipped."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modal.gate.judge.baseline import Baseline, Entry
from pytest_modal.gate.judge.flips import Flip
from pytest_modal.report.record import FlipEntry, RoundEntry

MOST_FLIPS = 1_000
_LONGEST_TEXT = 20_000


def round_entries(baseline: Baseline | None) -> list[RoundEntry]:
    """Return the history of a baseline and then its rounds, the oldest first."""
    if baseline is None:
        return []
    history = [
        RoundEntry(date=each.date, value=each.accuracy, what=_what(each), commit="", app="", gpu="")
        for each in baseline.history
    ]
    rounds = [
        RoundEntry(date=each.date, value=each.accuracy, what="round", commit="", app=each.app or "", gpu=each.gpu or "")
        for each in baseline.rounds
    ]
    return [*history, *rounds]


def _what(entry: Entry) -> str:
    if entry.reason is not None:
        return f"accepted: {entry.reason}"
    return f"items: {entry.items}" if entry.items is not None else "recorded"


def flip_entries(found: Sequence[Flip]) -> list[FlipEntry]:
    """Return the first flips, which are the worst."""
    return [
        FlipEntry(
            id=each.id,
            direction="better" if each.change > 0 else "worse",
            was=shortened(each.was or "", _LONGEST_TEXT),
            now=shortened(each.is_ or "", _LONGEST_TEXT),
            input=shortened(each.input or "", _LONGEST_TEXT),
            right_then=each.then,
            right_now=each.now,
        )
        for each in found[:MOST_FLIPS]
    ]


def shortened(text: str, most: int) -> str:
    """Return at most so many characters of a text, and a note of how many there are."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters in all)"
