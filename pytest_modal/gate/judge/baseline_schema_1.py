"""The first schema of a baseline's file: one header, and right answers in all rounds an item. It is only read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import MOST_ROUNDS, Anchor, Baseline, Entry, Round
from pytest_modal.gate.judge.intervals import Floats


def read_schema_1(
    header: Mapping[str, Any], items: Sequence[Mapping[str, Any]], outputs: Mapping[str, str]
) -> Baseline:
    """Return the baseline. Which rounds of an item were right is not known: those that follow its position are taken.

    Raises
    ------
    TypeError, ValueError, KeyError
        Something makes no sense.
    """
    k, anchor = int(header["k"]), Anchor(**header["anchor"])
    if not 1 <= k <= MOST_ROUNDS:
        raise ValueError(f"{k} rounds")
    same = anchor.k == k
    sums = [float(item["c"]) for item in items]
    anchors = [item.get("a", item["c"] if same else None) for item in items]
    results = _spread(sums, k)
    accuracies = results.mean(axis=0).round(6).tolist()
    apps = (
        [str(name).rpartition("/")[0] for name in header["rounds"]] if len(header["rounds"]) == k else ["unknown"] * k
    )
    date = header["history"][-1]["date"]
    rounds = tuple(
        Round(date, accuracy, app or None, header["gpu"], header["model"])
        for app, accuracy in zip(apps, accuracies, strict=True)
    )
    return Baseline(
        gate=header["gate"],
        ids=tuple(item["id"] for item in items),
        results=results,
        digests=tuple(item.get("in", "") for item in items),
        outputs=tuple(outputs.get(item["id"]) for item in items),
        rounds=rounds,
        anchor=anchor,
        anchor_results=_spread([math.nan if a is None else float(a) for a in anchors], anchor.k),
        history=tuple(_entry(entry) for entry in header["history"]),
        outdated=True,
    )


def _spread(sums: Sequence[float], k: int) -> Floats:
    """Return results of `k` rounds with these sums."""
    values = np.array(sums, float)
    if not ((values >= 0) & (values <= k) | np.isnan(values)).all():
        raise ValueError("a sum is not within the rounds")
    known = values[~np.isnan(values)]
    if (known != np.round(known)).any():
        return np.repeat(np.round(values / k, 4)[:, None], k, axis=1)
    places = (np.arange(k)[None, :] + np.arange(len(values))[:, None]) % k
    return np.where(np.isnan(values)[:, None], math.nan, (places < values[:, None]).astype(float))


def _entry(entry: Mapping[str, Any]) -> Entry:
    anchor = Anchor(**entry["anchor"]) if "anchor" in entry else None
    return Entry(**{**entry, "anchor": anchor})
