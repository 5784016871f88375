"""Flips of a gate: the items on which the rounds now and those of before disagree, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import Baseline, align
from pytest_modal.gate.judge.comparison import flipped
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.gate.judge.policy import Demands
from pytest_modal.gate.judge.statistics import is_counts
from pytest_modal.wording import safe_line

NO_DEMANDS = Demands()
SHOWN = 5  # flips in a message; all are in the CSV
WIDEST_ID = 40
_WIDEST_INPUT, _WIDEST_OUTPUT, _NARROWEST_SHARE = 24, 40, 5


@dataclass(frozen=True)
class Flip:
    """An item on which the rounds now and the baseline disagree.

    Attributes
    ----------
    then, now : str
        Right answers of rounds, such as 4/5, or the mean score.
    change : float
        Share of right answers now minus then.
    """

    id: str
    then: str
    now: str
    change: float
    input: str | None
    was: str | None
    is_: str | None


def flips(now: Evaluation, baseline: Baseline, demands: Demands = NO_DEMANDS) -> list[Flip]:
    """Return the items that flipped since a baseline, those that got worse first, then by size and id."""
    alignment = align(baseline, now)
    outputs = tuple(baseline.outputs[index] for index in alignment.then.tolist())
    return _flips(now, alignment.now, baseline.results[alignment.then], outputs, demands)


def flips_between(now: Evaluation, reference: Evaluation, demands: Demands = NO_DEMANDS) -> list[Flip]:
    """Return the items on which two arms disagree, likewise."""
    return _flips(now, np.arange(now.n), reference.results, reference.outputs, demands)


def _flips(
    now: Evaluation, chosen: np.ndarray[Any, Any], then: Floats, outputs: Sequence[str | None], demands: Demands
) -> list[Flip]:
    after, sign = now.results[chosen], demands.sign
    counts = not now.score and is_counts(then) and is_counts(after)
    falls, rises = flipped(then, after, sign, score=now.score)
    differences = sign * np.round(after.mean(axis=1) - then.mean(axis=1), 12)

    def share(results: Floats) -> str:
        return f"{int(results.sum())}/{len(results)}" if counts else f"{results.mean():.4g}"

    found = []
    for index in np.flatnonzero(falls | rises).tolist():
        new = int(chosen[index])
        found.append(
            Flip(
                id=now.ids[new],
                then=share(then[index]),
                now=share(after[index]),
                change=float(differences[index]),
                input=now.inputs[new],
                was=outputs[index],
                is_=now.outputs[new],
            )
        )
    return sorted(found, key=lambda flip: (flip.change > 0, -abs(flip.change), flip.id))


def flip_rows(items: Sequence[Flip]) -> list[dict[str, Any]]:
    """Return the rows of the flips' CSV."""
    return [
        {
            "id": flip.id,
            "then": flip.then,
            "now": flip.now,
            "change": flip.change,
            "input": flip.input,
            "was": flip.was,
            "is": flip.is_,
        }
        for flip in items
    ]


def flip_table(items: Sequence[Flip], csv: str | None, shown: int = SHOWN) -> list[str]:
    """Return the lines of a table of the first flips, and where all of them are."""
    if not items:
        return []
    rows = [("id", "then", "now", "input", "was -> is")]
    for flip in items[:shown]:
        was, is_ = (_quoted(text, _WIDEST_OUTPUT) for text in (flip.was, flip.is_))
        rows.append(
            (safe_line(flip.id, WIDEST_ID), flip.then, flip.now, _quoted(flip.input, _WIDEST_INPUT), f"{was} -> {is_}")
        )
    least = (0, _NARROWEST_SHARE, _NARROWEST_SHARE, 0)
    widths = [max(narrowest, *(len(row[column]) for row in rows)) for column, narrowest in enumerate(least)]
    lines = [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    if len(items) > shown or csv is not None:
        more = f"... {len(items) - shown:,} more" if len(items) > shown else "full text"
        lines.append(f"  {more}" + (f": {csv}" if csv is not None else ""))
    return lines


def _quoted(text: str | None, width: int) -> str:
    return "?" if text is None else f'"{safe_line(text, width)}"'
