"""Updates of a baseline: the new one, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, align
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.gate.judge.rows import Evaluation
from pytest_modal.gate.judge.verdict import GateResult, Verdict
from pytest_modal.wording import count


@dataclass(frozen=True, eq=False)
class Update:
    """What to do about the file of a baseline.

    Attributes
    ----------
    baseline : Baseline or None
        What to write, once the whole test has passed; None if there is nothing to write.
    note : str
        What happens to it, in one line.
    refused : bool
        Whether the gate failed, so that nothing may be written.
    """

    baseline: Baseline | None
    note: str
    refused: bool = False


def plan_update(
    result: GateResult, now: Evaluation, old: Baseline | None, *, origin: Origin, rounds: Sequence[str], date: str
) -> Update:
    """Plan the new baseline of a gate that was judged with a policy of updating.

    The anchor stays where it is, unless a regression was accepted: then it is this evaluation, and the old one goes
    into the history. Items that are new, or have a new input, are anchored to what they do now, where the anchor
    has as many rounds.

    Parameters
    ----------
    now : Evaluation
        All rounds, pooled.
    old : Baseline or None
        What was compared with.
    rounds : sequence of str
        Names of the rounds.
    date : str
        Today, as 2026-01-31.
    """
    gate = result.gate
    if result.failed:
        return Update(None, f"{gate}: baseline not written, because the gate failed", refused=True)
    accepted = result.verdict is Verdict.ACCEPTED
    alignment = None if old is None else align(old, now)
    accuracy = round(now.accuracy, 6)
    entry = Entry(date, accuracy, now.n, now.rounds)
    fresh = Baseline(
        gate=gate,
        ids=now.ids,
        sums=now.sums,
        k=now.rounds,
        digests=now.digests,
        outputs=now.outputs,
        anchor=Anchor(now.rounds, accuracy, date),
        anchor_sums=now.sums,
        history=(entry,),
        model=origin.model,
        gpu=origin.gpu,
        speed=None if origin.speed is None else float(f"{origin.speed:.4g}"),
        rounds=tuple(rounds),
    )
    if old is None or alignment is None:
        return Update(fresh, f"{gate}: baseline recorded, {count(now.rounds, 'round')}")
    if accepted:
        entry = replace(entry, reason=result.policy.accept, anchor=old.anchor, items=alignment.summary)
        baseline = replace(fresh, history=(*old.history, entry))
        note = f"{gate}: regression accepted, {_change(old, now)}, {_rounds(old, now)}: {result.policy.accept}"
        return Update(baseline, note)
    anchor_sums = now.sums.copy() if old.anchor.k == now.rounds else np.full(now.n, math.nan)
    anchor_sums[alignment.now] = old.anchor_sums[alignment.then]
    entry = replace(entry, items=alignment.summary)
    baseline = replace(fresh, anchor=old.anchor, anchor_sums=anchor_sums, history=(*old.history, entry))
    if _same(old, baseline):
        return Update(None, f"{gate}: baseline unchanged")
    return Update(baseline, f"{gate}: baseline updated, {_change(old, now)}, {_rounds(old, now)}")


def _change(old: Baseline, now: Evaluation) -> str:
    return f"{100 * old.accuracy:.1f}% -> {100 * now.accuracy:.1f}%"


def _rounds(old: Baseline, now: Evaluation) -> str:
    fewer = f" (there were {old.k})" if now.rounds < old.k else ""
    return f"{count(now.rounds, 'round')}{fewer}"


def _same(old: Baseline, new: Baseline) -> bool:
    """Whether there is nothing to write: speed, dates and names of rounds alone make no diff."""
    same = [getattr(old, name) == getattr(new, name) for name in ("ids", "k", "digests", "outputs", "model", "gpu")]
    return all(same) and np.allclose(old.sums, new.sums, rtol=0, atol=1e-9)
