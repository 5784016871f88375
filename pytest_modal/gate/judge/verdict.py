"""Verdicts of gates: pure functions over data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from pytest_modal.gate.judge.baseline import Alignment, Baseline, align, check_items
from pytest_modal.gate.judge.comparison import Arms, Category, Comparison, compare_arms
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.exact import flip_rate
from pytest_modal.gate.judge.intervals import mean_interval, wilson
from pytest_modal.gate.judge.policy import AGAINST_ANCHOR, Demands, Origin, Policy
from pytest_modal.gate.judge.sensitivity import Sensitivity, sensitivity
from pytest_modal.gate.judge.statistics import Change, is_counts
from pytest_modal.wording import safe_line, some, three_parts

Reason = Literal[
    "drop",
    "category",
    "margin",
    "anchor",
    "min_accuracy",
    "must_pass",
    "changed",
    "inconclusive",
    "no baseline",
    "replaced",
]


@dataclass(frozen=True, eq=False)
class GateResult:
    """What `accuracy_gate` returns.

    Attributes
    ----------
    verdict : Verdict
    failed : bool
        Whether the test fails.
    reasons : tuple of str
        Why it fails or, if accepted, would have: "drop", "category", "margin", "anchor", "min_accuracy", "must_pass",
        "changed", "inconclusive", "no baseline", "replaced" (the baseline being updated has none of these items).
    n, rounds : int
        Items and rounds now.
    score : bool
        Whether a score is compared, not a share of right answers.
    accuracy : float
        Now, over all items; the mean of a score.
    accuracy_interval : tuple of float
        90%: by Wilson, of a score by Student's t.
    fresh_accuracy : float or None
        Of the fresh rounds alone.
    change, anchor : Change or None
        Against the baseline or the other arm; when baselines are updated, against the anchor where that is another.
    anchor_date : str or None
    flip_rate : float or None
        How often two rounds of the baseline differ on an item.
    newly_failing, newly_passing : int
        Items that most rounds now decide otherwise than most rounds of the baseline; of scores, all that fell or rose.
    categories : tuple of Category
    new : tuple of str
        Items that the baseline does not have; they are not gated.
    must_pass : tuple of str
        Items that had to pass and did not.
    wants_confirmation : bool
        Whether fresh rounds should be run, pooled with these and judged again.
    whole : Verdict or None
        What all items together say, without categories and what else the test demands.
    replicated : bool
        Whether the fresh rounds alone show a drop too.
    recordable : bool
        Whether it is compared with a baseline, not with another arm of the run.
    outlook : Sensitivity
        What the gate can see.
    warnings : tuple of str
        What differs from where the baseline was made.
    """

    gate: str
    verdict: Verdict
    failed: bool
    reasons: tuple[Reason, ...]
    n: int
    rounds: int
    score: bool
    accuracy: float
    accuracy_interval: tuple[float, float]
    demands: Demands
    policy: Policy
    outlook: Sensitivity
    fresh_accuracy: float | None = None
    change: Change | None = None
    anchor: Change | None = None
    anchor_date: str | None = None
    flip_rate: float | None = None
    newly_failing: int = 0
    newly_passing: int = 0
    categories: tuple[Category, ...] = ()
    new: tuple[str, ...] = ()
    must_pass: tuple[str, ...] = ()
    wants_confirmation: bool = False
    whole: Verdict | None = None
    replicated: bool = True
    recordable: bool = True
    warnings: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return all of it as plain JSON data, for records and reports."""
        shown = {key: _plain(value) for key, value in asdict(self).items()}
        for name, each in (("change", self.change), ("anchor", self.anchor)):
            shown[name] = None if each is None else _change_record(each)
        for record, category in zip(shown["categories"], self.categories, strict=True):
            record["change"] = _change_record(category.change)
        return shown


def _change_record(change: Change) -> dict[str, Any]:
    fields = {key: _plain(value) for key, value in vars(change).items() if key != "differences"}
    return fields | {"change": change.change}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key != "differences"}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    alignment = None if baseline is None else align(baseline, now)
    if baseline is not None and alignment is not None and not policy.updating:
        check_items(baseline, now, alignment, where, test)
    verdict, reasons = Verdict.NO_BASELINE, list[Reason]()
    compared: dict[str, Any] = {}
    comparison = None
    if baseline is not None and alignment is not None and len(alignment.now):
        arms = _arms(baseline, now, alignment)
        comparison = compare_arms(arms, demands, policy, confirmed=not policy.updating)
        verdict, reasons = _verdict(comparison, demands, policy)
        compared = _compared(comparison) | {"new": alignment.new, "flip_rate": _flip_rate(baseline)}
        if not policy.updating:
            outlook = _outlook(arms.then.sum(axis=1), baseline.k, now, policy, demands, arms.clusters)
            compared["outlook"] = outlook
        anchor = _against_anchor(baseline, now, alignment, demands, policy) if policy.updating else None
        if anchor is not None:
            compared |= {"anchor": anchor.change, "anchor_date": baseline.anchor.date}
            if anchor.decision.verdict is Verdict.FAIL:
                verdict, reasons = Verdict.FAIL, [*reasons, "anchor"]
    elif baseline is not None:
        reasons = ["replaced"]
    elif policy.ci and not (policy.updating or policy.adding):
        reasons = ["no baseline"]
    if not compared or policy.updating:  # the sensitivity against the new baseline is reported
        compared["outlook"] = _outlook(now.sums, now.rounds, now, policy, demands, now.clusters)
    result = GateResult(
        gate=gate,
        verdict=verdict,
        failed=False,
        reasons=tuple(reasons),
        demands=demands,
        policy=policy,
        warnings=_warnings(baseline, origin),
        wants_confirmation=_can_confirm(now, policy) and comparison is not None and comparison.suspicious,
        **_figures(now, policy),
        **compared,
    )
    return _with_demands(result, now, test)


def judge_arms(
    gate: str, now: Evaluation, reference: Evaluation, *, demands: Demands, policy: Policy, test: str
) -> GateResult:
    """Judge an evaluation against another arm of the same run.

    With a margin the gate fails unless a larger drop is ruled out by the interval (a non-inferiority test; Blackwelder
    1982, Controlled Clinical Trials 3:345), so that too few items fail.

    Raises
    ------
    ValueError
        The arms have other items or inputs, or `must_pass` names items that don't exist.
    """
    _check_arms(gate, now, reference, test)
    clusters, categories = (None if each is None else np.array(each) for each in (now.clusters, now.categories))
    # Files of one round and of several can be compared too.
    paired = reference.rounds == now.rounds
    arms = Arms(reference.results, now.results, clusters, categories, now.score, paired_rounds=paired)
    comparison = compare_arms(arms, demands, policy, confirmed=not policy.updating)
    verdict, reasons = _verdict(comparison, demands, policy)
    suspicious = comparison.suspicious
    if demands.margin is not None:
        ruled_out = comparison.change.interval[0] > -demands.margin
        reasons = [] if ruled_out else ["margin"]
        kept = verdict if verdict is Verdict.IMPROVED else Verdict.PASS
        verdict, suspicious = (kept, False) if ruled_out else (Verdict.FAIL, True)
    result = GateResult(
        gate=gate,
        verdict=verdict,
        failed=False,
        reasons=tuple(reasons),
        demands=demands,
        policy=policy,
        recordable=False,
        flip_rate=flip_rate(reference.sums, reference.rounds) if _is_counted(reference) else None,
        outlook=_outlook(reference.sums, reference.rounds, now, policy, demands, clusters),
        wants_confirmation=_can_confirm(now, policy) and suspicious,
        **_figures(now, policy),
        **_compared(comparison),
    )
    return _with_demands(result, now, test)


def _check_arms(gate: str, now: Evaluation, reference: Evaluation, test: str) -> None:
    odd = sorted(set(now.ids) ^ set(reference.ids))
    what = "the reference has other items than the rows"
    if not odd:
        pairs = zip(now.ids, now.digests, reference.digests, strict=True)
        odd = [each for each, mine, theirs in pairs if mine and theirs and mine != theirs]
        what = "the reference has other inputs than the rows"
    if odd:
        remedy = "pass the results of both arms for the same items: they are paired by id"
        raise ValueError(three_parts(f"accuracy_gate {gate!r}: {what}: {some(odd)}", test, remedy))


def _arms(baseline: Baseline, now: Evaluation, alignment: Alignment) -> Arms:
    clusters, categories = (
        None if each is None else np.array(each)[alignment.now] for each in (now.clusters, now.categories)
    )
    return Arms(baseline.results[alignment.then], now.results[alignment.now], clusters, categories, now.score)


def _verdict(comparison: Comparison, demands: Demands, policy: Policy) -> tuple[Verdict, list[Reason]]:
    """Return the one verdict of a gate, over all items and by category."""
    found = {comparison.decision.verdict, *(each.verdict for each in comparison.categories)}
    reasons: list[Reason] = []
    if comparison.decision.verdict is Verdict.FAIL:
        reasons.append("drop")
    if any(each.verdict is Verdict.FAIL for each in comparison.categories):
        reasons.append("category")
    if reasons:
        return Verdict.FAIL, reasons
    if Verdict.CHANGED in found:
        return Verdict.CHANGED, ["changed"] if policy.strict else []
    verdict = comparison.decision.verdict
    return verdict, ["inconclusive"] if policy.strict and verdict is Verdict.INCONCLUSIVE else []


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "change": comparison.change,
        "newly_failing": comparison.worse,
        "newly_passing": comparison.better,
        "categories": comparison.categories,
        "whole": comparison.decision.verdict,
        "replicated": comparison.decision.replicated,
    }


def _against_anchor(
    baseline: Baseline, now: Evaluation, alignment: Alignment, demands: Demands, policy: Policy
) -> Comparison | None:
    """Compare with the anchor; None where it is the baseline itself, or has seen none of the items.

    Losses since the anchor were let through one by one, so that less certainty is enough that there are some.
    """
    old = baseline.anchor_results[alignment.then]
    if old.shape == baseline.results.shape and np.array_equal(old, baseline.results[alignment.then]):
        return None
    seen = ~np.isnan(old[:, 0])
    if not seen.any():
        return None
    clusters = None if now.clusters is None else np.array(now.clusters)[alignment.now][seen]
    arms = Arms(old[seen], now.results[alignment.now][seen], clusters, None, now.score)
    return compare_arms(arms, demands, policy, confirmed=False, error=AGAINST_ANCHOR)


def _figures(now: Evaluation, policy: Policy) -> dict[str, Any]:
    fresh = now.rounds > 1 and not policy.updating
    return {
        "n": now.n,
        "rounds": now.rounds,
        "score": now.score,
        "accuracy": now.accuracy,
        "accuracy_interval": mean_interval(now.sums / now.rounds) if now.score else wilson(now.accuracy, now.n),
        "fresh_accuracy": float(now.results[:, 1:].mean()) if fresh else None,
    }


def _outlook(sums: Any, k: int, now: Evaluation, policy: Policy, demands: Demands, clusters: Any) -> Sensitivity:
    return sensitivity(sums, k, policy, min_drop=demands.min_drop, clusters=clusters, score=now.score)


def _flip_rate(baseline: Baseline) -> float | None:
    return flip_rate(baseline.sums, baseline.k) if is_counts(baseline.results) else None


def _is_counted(evaluation: Evaluation) -> bool:
    return not evaluation.score and is_counts(evaluation.results)


def _can_confirm(now: Evaluation, policy: Policy) -> bool:
    return policy.confirm > 0 and now.rounds == 1 and not policy.updating


def _with_demands(result: GateResult, now: Evaluation, test: str) -> GateResult:
    """Return the result with what else the test demands; what fresh rounds may settle waits for them."""
    demands, policy, reasons = result.demands, result.policy, list(result.reasons)
    failing = _check_must_pass(result.gate, now, demands, test)
    low = demands.min_accuracy is not None and now.accuracy < demands.min_accuracy - 1e-9
    surely_low = demands.min_accuracy is not None and result.accuracy_interval[1] < demands.min_accuracy
    if low:
        reasons.append("min_accuracy")
    if failing:
        reasons.append("must_pass")
    demanded = low or bool(failing)
    accepted = policy.accept is not None and policy.updating and bool(result.reasons) and not demanded
    verdict = Verdict.ACCEPTED if accepted else result.verdict
    unsettled = _can_confirm(now, policy) and (bool(failing) or (low and not surely_low))
    return replace(
        result,
        verdict=Verdict.FAIL if demanded else verdict,
        failed=bool(reasons) and not accepted,
        reasons=tuple(reasons),
        must_pass=failing,
        wants_confirmation=result.wants_confirmation or unsettled,
    )


def _check_must_pass(gate: str, now: Evaluation, demands: Demands, test: str) -> tuple[str, ...]:
    """Return the items that had to pass and did not in most rounds."""
    if not demands.must_pass:
        return ()
    share = dict(zip(now.ids, (now.results >= 1).mean(axis=1).tolist(), strict=True))
    if unknown := [each for each in demands.must_pass if each not in share]:
        what = f"accuracy_gate {gate!r}: must_pass names items that the rows don't have: {some(unknown)}"
        raise ValueError(three_parts(what, test, "use ids of the rows, or add rows for those items"))
    return tuple(each for each in demands.must_pass if share[each] <= 0.5)


def _warnings(baseline: Baseline | None, origin: Origin) -> tuple[str, ...]:
    if baseline is None:
        return ()
    warnings = []
    for what, then, now in (("device", baseline.gpu, origin.gpu), ("model revision", baseline.model, origin.model)):
        if then is not None and now is not None and then != now:
            warnings.append(f"the baseline was made on another {what}: {safe_line(then)}, now {safe_line(now)}")
    return tuple(warnings)
