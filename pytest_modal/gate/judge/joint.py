"""The joint test of a run: whether all of its gates fell together, though none of them did alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modal.gate.judge.policy import LEVEL, MIN_DROP
from pytest_modal.gate.judge.sign_flips import sign_flip_test
from pytest_modal.gate.judge.verdict import GateResult
from pytest_modal.wording import count


@dataclass(frozen=True)
class Joint:
    """What the gates of a run say together.

    Attributes
    ----------
    gates : int
    change : float
        The mean of their changes.
    p : float
        Of a drop.
    """

    gates: int
    change: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether the run fails for it, if no single gate did."""
        return self.p <= LEVEL and -self.change >= MIN_DROP - 1e-9

    @property
    def summary(self) -> str:
        """The figures in one line."""
        return f"{count(self.gates, 'gate')} together  {100 * self.change:+.1f} points, p={self.p:.2g}"

    @property
    def line(self) -> str:
        """The figures, and whether the run fails for them."""
        return (
            f"ACCURACY REGRESSION of all gates, though of no single one: {self.summary}" if self.worse else self.summary
        )


def pooled(result: GateResult) -> dict[str, Any] | None:
    """Return what the joint test needs of a gate as plain data; None if it takes no part.

    Only accuracies against baselines do: scores have units of their own, and other arms belong to this run.
    """
    change = result.change
    if change is None or result.score or not result.recordable or result.policy.updating:
        return None
    values, counts = np.unique(np.round(change.differences, 9), return_counts=True)
    return {"n": change.n, "values": values.tolist(), "counts": counts.tolist()}


def joint_test(gates: Sequence[dict[str, Any]]) -> Joint | None:
    """Test all gates of a run together: sign flips over the items of all, each gate with the same weight.

    One of the ways to pool tasks in arXiv 2602.10144. Only what is symmetric about no change is taken for chance, so
    a change that swaps items and makes nothing worse does not fail.

    Parameters
    ----------
    gates : sequence of dict
        As `pooled` returns them. Fewer than two are no joint test.
    """
    if len(gates) < 2:
        return None
    parts = [np.repeat(each["values"], each["counts"]) / each["n"] for each in gates]
    p, _ = sign_flip_test(np.concatenate(parts))
    return Joint(len(gates), float(sum(part.sum() for part in parts)) / len(gates), p)
