"""Verdicts of gates: pure functions over data."""

from __future__ import annotations

import enum
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pytest_modal.gate.judge.baseline import Alignment, Baseline, align, check_items
from pytest_modal.gate.judge.intervals import Floats, wilson
from pytest_modal.gate.judge.policy import LEVEL, SUSPICIOUS, TOLERABLE, Demands, Origin, Policy
from pytest_modal.gate.judge.rows import Evaluation
from pytest_modal.gate.judge.sensitivity import Sensitivity, sensitivity
from pytest_modal.gate.judge.statistics import Change, compare, flip_rate, is_counts
from pytest_modal.wording import safe_line, some, three_parts

Reason = Literal["drop", "anchor", "min_accuracy", "must_pass", "inconclusive", "no baseline", "replaced"]


class Verdict(enum.StrEnum):
    """The verdict of a gate."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    IMPROVED = "IMPROVED"
    ACCEPTED = "ACCEPTED"
    NO_BASELINE = "NO BASELINE"


@dataclass(frozen=True, eq=False)
class GateResult:
    """What `accuracy_gate` returns.

    Attributes
    ----------
    verdict : Verdict
    failed : bool
        Whether the test fails.
    reasons : tuple of str
        Why it fails or, if accepted, would have: "drop", "anchor", "min_accuracy", "must_pass", "inconclusive",
        "no baseline", "replaced" (the baseline being updated has none of these items).
    n, rounds : int
        Items and rounds now.
    accuracy : float
        Now, over all items.
    accuracy_interval : tuple of float
        95%, by Wilson.
    change, anchor : Change or None
        Against the baseline, and against its anchor where that is another.
    anchor_date : str or None
    flip_rate : float or None
        How often two rounds of the baseline differ on an item.
    newly_failing, newly_passing : int
        Items that most rounds now decide otherwise than most rounds of the baseline; of scores, all that fell or rose.
    new : tuple of str
        Items that the baseline does not have; they are not gated.
    must_pass : tuple of str
        Items that had to pass and did not.
    wants_confirmation : bool
        Whether fresh rounds should be run, pooled with these and judged again.
    outlook : Sensitivity
        What the gate can see.
    speed_ratio : float or None
        Items per second against those of the baseline.
    warnings : tuple of str
        What differs from where the baseline was made.
    """

    gate: str
    verdict: Verdict
    failed: bool
    reasons: tuple[Reason, ...]
    n: int
    rounds: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    demands: Demands
    policy: Policy
    outlook: Sensitivity
    change: Change | None = None
    anchor: Change | None = None
    anchor_date: str | None = None
    flip_rate: float | None = None
    newly_failing: int = 0
    newly_passing: int = 0
    new: tuple[str, ...] = ()
    must_pass: tuple[str, ...] = ()
    wants_confirmation: bool = False
    speed_ratio: float | None = None
    warnings: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON data, for records and reports."""
        return {key: _plain(value) for key, value in asdict(self).items()} | {
            name: None if each is None else _plain(asdict(each)) | {"change": each.change}
            for name, each in (("change", self.change), ("anchor", self.anchor))
        }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Decision:
    """The decision by comparisons alone, before any other demand."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    wants_confirmation: bool


def decide(change: Change, anchor: Change | None, min_drop: float, policy: Policy) -> Decision:
    """Decide by the change against the baseline and, where it is another, against the anchor."""
    reasons: list[Reason] = []
    against: dict[Reason, Change | None] = {"drop": change, "anchor": anchor}
    for reason, each in against.items():
        if each is None or each.single_item:
            continue
        # A rounding error must not let a drop of exactly min_drop pass.
        if each.p <= policy.level and -each.change >= min_drop - 1e-9:
            reasons.append(reason)
    smallest = min(each.p for each in (change, anchor) if each is not None)
    wants = policy.confirm > 0 and change.m == 1 and smallest <= SUSPICIOUS
    if reasons:
        return Decision(Verdict.FAIL, tuple(reasons), wants)
    if change.lower < -TOLERABLE and change.changed:
        return Decision(Verdict.INCONCLUSIVE, ("inconclusive",) if policy.strict else (), wants)
    return Decision(Verdict.IMPROVED if change.p_gain <= LEVEL else Verdict.PASS, (), wants)


def judge(
    gate: str,
    now: Evaluation,
    baseline: Baseline | None,
    *,
    demands: Demands,
    policy: Policy,
    origin: Origin,
    where: str,
    test: str,
) -> GateResult:
    """Judge an evaluation.

    Parameters
    ----------
    now : Evaluation
        One round, or several that were pooled.
    where, test : str
        The baseline's file and the test's node id, for messages.

    Raises
    ------
    ValueError
        `must_pass` names items that don't exist.
    BaselineError
        Items of the baseline are missing or have other inputs, and no baseline is being recorded.
    """
    failing = _check_must_pass(gate, now, demands, test)
    alignment = None if baseline is None else align(baseline, now)
    if baseline is not None and alignment is not None and not policy.updating:
        check_items(baseline, now, alignment, where, test)
    compared: dict[str, Any] = {}
    decision = Decision(Verdict.NO_BASELINE, ("no baseline",) if policy.ci and not policy.updating else (), False)
    if baseline is not None and alignment is not None and len(alignment.now):
        compared = _compare(baseline, now, alignment, policy)
        decision = decide(compared["change"], compared["anchor"], demands.min_drop, policy)
    elif baseline is not None:
        decision = Decision(Verdict.NO_BASELINE, ("replaced",), False)
    if not compared or policy.updating:  # the sensitivity against the new baseline is reported
        compared["outlook"] = sensitivity(now.sums, now.rounds, policy, clusters=now.clusters)
    reasons = list(decision.reasons)
    if demands.min_accuracy is not None and now.accuracy < demands.min_accuracy - 1e-9:
        reasons.append("min_accuracy")
    if failing:
        reasons.append("must_pass")
    demanded = "min_accuracy" in reasons or "must_pass" in reasons
    accepted = policy.accept is not None and policy.updating and bool(decision.reasons) and not demanded
    verdict = Verdict.ACCEPTED if accepted else decision.verdict
    return GateResult(
        gate=gate,
        verdict=Verdict.FAIL if demanded else verdict,
        failed=bool(reasons) and not accepted,
        reasons=tuple(reasons),
        n=now.n,
        rounds=now.rounds,
        accuracy=now.accuracy,
        accuracy_interval=wilson(now.accuracy, now.n),
        demands=demands,
        policy=policy,
        wants_confirmation=decision.wants_confirmation and not policy.updating,
        must_pass=failing,
        warnings=_warnings(baseline, origin),
        speed_ratio=origin.speed / baseline.speed if baseline and baseline.speed and origin.speed else None,
        **compared,
    )


def _check_must_pass(gate: str, now: Evaluation, demands: Demands, test: str) -> tuple[str, ...]:
    """Return the items that had to pass and did not."""
    if not demands.must_pass:
        return ()
    share = dict(zip(now.ids, (now.sums / now.rounds).tolist(), strict=True))
    if unknown := [each for each in demands.must_pass if each not in share]:
        what = f"accuracy_gate {gate!r}: must_pass names items that the rows don't have: {some(unknown)}"
        raise ValueError(three_parts(what, test, "use ids of the rows, or add rows for those items"))
    return tuple(each for each in demands.must_pass if share[each] < 1 - 1e-9)


def _compare(baseline: Baseline, now: Evaluation, alignment: Alignment, policy: Policy) -> dict[str, Any]:
    """Compare the same items with the baseline and with its anchor."""
    then, after = baseline.sums[alignment.then], now.sums[alignment.now]
    clusters = None if now.clusters is None else np.array(now.clusters)[alignment.now]
    counts = is_counts(then) and is_counts(after)
    old = baseline.anchor_sums[alignment.then]
    seen = ~np.isnan(old)
    # The same anchor would be the same test twice.
    same = baseline.anchor.k == baseline.k and bool((old == then).all())
    anchor = None
    if seen.any() and not same:
        chosen = None if clusters is None else clusters[seen]
        anchor = compare(old[seen], baseline.anchor.k, after[seen], now.rounds, chosen)
    falls, rises = flipped(then, baseline.k, after, now.rounds)
    change = compare(then, baseline.k, after, now.rounds, clusters)
    return {
        "change": change,
        "anchor": anchor,
        "anchor_date": baseline.anchor.date,
        "flip_rate": flip_rate(then, baseline.k) if counts else None,
        "newly_failing": int(falls.sum()),
        "newly_passing": int(rises.sum()),
        "new": alignment.new,
        "outlook": sensitivity(then, baseline.k, policy, clusters=clusters, change=change),
    }


def flipped(then: Floats, k: int, now: Floats, m: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return which items are newly failing, and which newly passing.

    A count decides by the majority of its rounds; half is not a majority. A score falls or rises.
    """
    if is_counts(then) and is_counts(now):
        before, after = then > k / 2, now > m / 2
        return before & ~after, ~before & after
    difference = np.round(now / m - then / k, 12)
    return difference < 0, difference > 0


def _warnings(baseline: Baseline | None, origin: Origin) -> tuple[str, ...]:
    if baseline is None:
        return ()
    warnings = []
    for what, then, now in (("device", baseline.gpu, origin.gpu), ("model revision", baseline.model, origin.model)):
        if then is not None and now is not None and then != now:
            warnings.append(f"the baseline was made on another {what}: {safe_line(then)}, now {safe_line(now)}")
    return tuple(warnings)
