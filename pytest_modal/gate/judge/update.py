"""Updates of a baseline: the new one, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_modal.gate.judge.baseline import Anchor, Baseline, Entry, Round, align
from pytest_modal.gate.judge.baseline_lines import item_lines
from pytest_modal.gate.judge.comparison import Arms
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.gate.judge.verdict import GateResult
from pytest_modal.wording import count

_BEATEN = 0.01  # the p-value of a gain at which a recording becomes the anchor


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
    result: GateResult, now: Evaluation, old: Baseline | None, *, origins: Sequence[Origin], date: str
) -> Update:
    """Plan the new baseline of a gate that was judged with a policy of updating.

    The anchor rises: a recording that beats it becomes the anchor. Otherwise it stays, unless a regression was
    accepted: then it is this evaluation, and the old one goes into the history. Items that are new, or have a new
    input, are anchored to what they do now, where the anchor has as many rounds.

    Parameters
    ----------
    now : Evaluation
        All rounds, pooled.
    old : Baseline or None
        What was compared with.
    origins : sequence of Origin
        Where each round was made.
    date : str
        Today, as 2026-01-31.
    """
    gate = result.gate
    if result.failed:
        return Update(None, f"{gate}: baseline not written, because the gate failed", refused=True)
    fresh = _baseline(gate, now, origins, date)
    if old is None:
        return Update(fresh, f"{gate}: baseline recorded, {_rounds(fresh)}")
    alignment = align(old, now)
    entry = replace(fresh.history[0], items=alignment.summary)
    change = f"{_figure(result, old.accuracy)} -> {_figure(result, now.accuracy)}"
    if result.verdict is Verdict.ACCEPTED:
        entry = replace(entry, reason=result.policy.accept, anchor=old.anchor)
        note = f"{gate}: regression accepted, {change}, {_rounds(fresh, old)}: {result.policy.accept}"
        return Update(replace(fresh, history=(*old.history, entry)), note)
    if _beats_anchor(result, now, old):
        note = f"{gate}: baseline updated, {change}, {_rounds(fresh, old)}; it is the new anchor"
        return Update(replace(fresh, history=(*old.history, replace(entry, anchor=old.anchor))), note)
    same_rounds = old.anchor.k == now.rounds
    anchor_results = now.results.copy() if same_rounds else np.full((now.n, old.anchor.k), math.nan)
    anchor_results[alignment.now] = old.anchor_results[alignment.then]
    baseline = replace(fresh, anchor=old.anchor, anchor_results=anchor_results, history=(*old.history, entry))
    if _same(old, baseline):
        return Update(None, f"{gate}: baseline unchanged")
    return Update(baseline, f"{gate}: baseline updated, {change}, {_rounds(baseline, old)}")


def plan_addition(
    result: GateResult, now: Evaluation, old: Baseline | None, *, origin: Origin, date: str, most: int
) -> Update:
    """Plan the baseline with the round of this run, of which the newest `most` are kept.

    One round a run: fresh rounds of a suspicious gate would push out those of other sessions.
    """
    gate = result.gate
    first = replace(now, results=now.results[:, :1])
    if result.failed:
        return Update(None, f"{gate}: round not added, because the gate failed", refused=True)
    if old is None:
        fresh = _baseline(gate, first, [origin], date)
        return Update(fresh, f"{gate}: baseline recorded, {_rounds(fresh)}")
    if result.verdict is Verdict.CHANGED or result.new:
        why = "the rows have new items" if result.new else "the gate has changed"
        return Update(None, f"{gate}: round not added, because {why}; record all: --modal-update-baselines")
    added = Round(date, round(first.accuracy, 6), origin.app, origin.gpu, origin.model, origin.packages)
    results = np.hstack([old.results, first.results])[:, -most:]
    baseline = replace(old, results=results, rounds=(*old.rounds, added)[-most:])
    return Update(baseline, f"{gate}: round added, {_rounds(baseline, old)}")


def _baseline(gate: str, now: Evaluation, origins: Sequence[Origin], date: str) -> Baseline:
    """Return a first baseline."""
    accuracy = round(now.accuracy, 6)
    rounds = tuple(
        Round(date, round(each, 6), origin.app, origin.gpu, origin.model, origin.packages)
        for each, origin in zip(now.results.mean(axis=0).tolist(), origins, strict=True)
    )
    return Baseline(
        gate=gate,
        ids=now.ids,
        results=now.results,
        digests=now.digests,
        outputs=now.outputs,
        rounds=rounds,
        anchor=Anchor(now.rounds, accuracy, date),
        anchor_results=now.results,
        history=(Entry(date, accuracy, now.n, now.rounds),),
    )


def _beats_anchor(result: GateResult, now: Evaluation, old: Baseline) -> bool:
    """Whether a recording is better than the anchor, over all of its items."""
    alignment = align(old, now)
    anchor = old.anchor_results[alignment.then]
    if alignment.summary is not None or np.isnan(anchor).any():
        return False
    clusters = None if now.clusters is None else np.array(now.clusters)[alignment.now]
    change = Arms(anchor, now.results[alignment.now], clusters, None, now.score).change(result.demands, 0.05)
    return change.p_gain <= _BEATEN and not change.single_gain


def _figure(result: GateResult, value: float) -> str:
    return f"{value:.4g}" if result.score else f"{100 * value:.1f}%"


def _rounds(new: Baseline, old: Baseline | None = None) -> str:
    rounds = count(new.k, "round")
    # A recording does not say which session it is of.
    if new.k > 1 and all(each.app != "replay" for each in new.rounds):
        rounds += " from one session" if new.sessions == 1 else f" from {count(new.sessions, 'session')}"
    return f"{rounds} (there were {old.k})" if old is not None and new.k < old.k else rounds


def _same(old: Baseline, new: Baseline) -> bool:
    """Whether there is nothing to write: dates and apps of rounds alone make no diff."""
    same = [getattr(old, name) == getattr(new, name) for name in ("ids", "k", "outputs", "model", "gpu")]
    return all(same) and not old.outdated and item_lines(old) == item_lines(new)
