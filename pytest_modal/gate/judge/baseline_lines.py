"""Lines of a baseline's file: what of a baseline stands in which line.

``<gate>.jsonl`` has a line each for the header, the anchor, each round and each entry of the history, and then one
line an item, sorted by id::

    {"id":"add/0008","r":"11101","in":"77b0e3","a":1}

`r` is what became of the item in every round, oldest first, or once where the rounds agree; a score is `s`, a list
where the rounds differ by a thousandth or more. `in` is a digest of the input, `a` what became of the item in the
rounds of the anchor, where that is written otherwise (null: the anchor has not seen it). So a round that is added
changes the lines of items that flipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, Round
from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.gate.judge.statistics import is_counts

# Rounds of a score that differ by less, as a share of the score or of 1, are written as one.
SAME = 1e-3


def item_lines(baseline: Baseline) -> list[dict[str, Any]]:
    """Return the lines of the items."""
    seen = ~np.isnan(baseline.anchor_results)
    counts = is_right_or_wrong(baseline.results) and is_right_or_wrong(baseline.anchor_results[seen])
    key, shown = ("r", _rights) if counts else ("s", _scores)
    results, anchors = shown(baseline.results), shown(baseline.anchor_results)
    lines = []
    for each, result, digest, anchor in zip(baseline.ids, results, baseline.digests, anchors, strict=True):
        line: dict[str, Any] = {"id": each, key: result}
        if digest:
            line["in"] = digest
        if anchor != result:
            line["a"] = anchor
        lines.append(line)
    return lines


def is_right_or_wrong(results: Floats) -> bool:
    """Whether each result is 0 or 1."""
    return is_counts(results) and bool(((results >= 0) & (results <= 1)).all())


def _rights(results: Floats) -> list[int | str | None]:
    table = np.where(np.isnan(results), -1, results).astype(int).tolist()
    return [None if row[0] < 0 else row[0] if len({*row}) == 1 else "".join(map(str, row)) for row in table]


def _scores(results: Floats) -> list[float | list[float] | None]:
    found: list[float | list[float] | None] = []
    for row in results.tolist():
        if math.isnan(row[0]):
            found.append(None)
            continue
        spread = max(row) - min(row)
        agree = spread < SAME * max(1.0, *map(abs, row))
        found.append(_number(sum(row) / len(row)) if agree else [_number(each) for each in row])
    return found


def _number(value: float) -> float:
    # Four decimals of a share; six digits of other scores.
    rounded = float(f"{value:.6g}") if abs(value) > 1 else round(value, 4)
    return int(rounded) if rounded == int(rounded) else rounded


_NOT_WRITTEN = object()


def read_items(items: Sequence[Mapping[str, Any]], k: int, anchor_k: int) -> tuple[Floats, Floats] | int:
    """Return the results of the rounds and of the anchor; or the position of the first item that makes no sense."""
    key = "r" if items and "r" in items[0] else "s"
    rows, anchors = [], []
    known: dict[object, _Row] = {}  # of 100,000 items, few differ in what became of them
    for index, item in enumerate(items):
        value, anchor = item.get(key), item.get("a", _NOT_WRITTEN)
        digest = item.get("in", _NOT_WRITTEN)
        unknown = len(item) - 2 - (digest is not _NOT_WRITTEN) - (anchor is not _NOT_WRITTEN)
        if unknown or not (digest is _NOT_WRITTEN or isinstance(digest, str)):
            return index
        if key == "s":
            row = _both(value, anchor, k, anchor_k, key)
        else:
            said = type(value), str(value), type(anchor), str(anchor)
            if said not in known:
                known[said] = _both(value, anchor, k, anchor_k, key)
            row = known[said]
        if row is None:
            return index
        rows.append(row[0])
        anchors.append(row[1])
    return np.array(rows, float).reshape(-1, k), np.array(anchors, float).reshape(-1, anchor_k)


_Row = tuple[list[float], list[float]] | None


def _both(value: object, anchor: object, k: int, anchor_k: int, key: str) -> _Row:
    """Return the results of one item in the rounds and in those of the anchor; None if they make no sense."""
    row = _row(value, k, key)
    if row is None:
        return None
    if anchor is None:
        return row, [math.nan] * anchor_k
    if anchor is not _NOT_WRITTEN:
        then = _row(anchor, anchor_k, key)
        return None if then is None else (row, then)
    if k == anchor_k:
        return row, row
    # The rounds agree, else the anchor of another number of rounds would be written.
    return (row, row[:1] * anchor_k) if len({*row}) == 1 else None


_RIGHTS = {"0": 0.0, "1": 1.0}


def _row(value: object, k: int, key: str) -> list[float] | None:
    if key == "r":
        if isinstance(value, str):
            row = [_RIGHTS.get(each, math.nan) for each in value]
            return row if len(row) == k and not any(map(math.isnan, row)) else None
        return (
            [float(value)] * k if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1) else None
        )
    values: list[Any] = value if isinstance(value, list) else [value] * k
    if len(values) != k or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return None
    return [float(each) for each in values] if all(map(math.isfinite, values)) else None


def head_lines(baseline: Baseline) -> list[dict[str, Any]]:
    """Return the lines between the header and the items."""
    anchor = {"anchor": baseline.anchor.date, "rounds": baseline.anchor.k, "accuracy": baseline.anchor.accuracy}
    rounds = [_without_empty({"round": each.date, **asdict(each)}, "date") for each in baseline.rounds]
    entries = [_without_empty({"history": each.date, **asdict(each)}, "date") for each in baseline.history]
    return [anchor, *rounds, *entries]


def _without_empty(line: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in left_out and value not in (None, ())}


_TYPES: dict[str, tuple[type, ...]] = {
    "accuracy": (int, float),
    "rounds": (int,),
    "k": (int,),
    "n": (int,),
    **dict.fromkeys(("anchor", "round", "history", "date", "app", "gpu", "model", "reason", "items"), (str,)),
    "packages": (list,),
}


def read_head(line: Mapping[str, Any]) -> Anchor | Round | Entry:
    """Return what a line between the header and the items says.

    Raises
    ------
    TypeError, ValueError, KeyError
        It makes no sense.
    """
    kind = next(iter(line))
    replaced = line.get("anchor") if kind == "history" else None
    for key, value in line.items():
        if key == "anchor" and kind == "history":
            continue
        if not isinstance(value, _TYPES[key]) or isinstance(value, bool):
            raise TypeError(key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(key)
    fields = {key: value for key, value in line.items() if key not in (kind, "anchor")}
    if kind == "anchor":
        return _checked(Anchor(k=fields.pop("rounds"), date=line["anchor"], **fields))
    if kind == "round":
        packages = tuple(fields.pop("packages", ()))
        if not all(isinstance(each, str) for each in packages):
            raise TypeError("packages")
        return Round(date=line["round"], packages=packages, **fields)
    if kind == "history":
        anchor = None if replaced is None else _checked(Anchor(**replaced))
        return Entry(date=line["history"], anchor=anchor, **fields)
    raise KeyError(kind)


def _checked(anchor: Anchor) -> Anchor:
    if not isinstance(anchor.k, int) or anchor.k < 1 or not isinstance(anchor.date, str):
        raise ValueError("anchor")
    return anchor
