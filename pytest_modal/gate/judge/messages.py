"""Messages of a gate. Ids, inputs and outputs are text of unknown origin: they are made safe to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import Baseline, align, update_command
from pytest_modal.gate.judge.policy import TOLERABLE
from pytest_modal.gate.judge.rows import INPUT_NAMES, Evaluation
from pytest_modal.gate.judge.sensitivity import Sensitivity
from pytest_modal.gate.judge.statistics import Change, is_counts
from pytest_modal.gate.judge.verdict import GateResult, Verdict, flipped
from pytest_modal.wording import count, first_few, safe_line, three_parts

SHOWN = 5  # flips in a message; all are in the CSV
_WIDEST_INPUT, _WIDEST_OUTPUT, _WIDEST_ID = 24, 40, 40
_SLOWER = 0.8


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


def flips(now: Evaluation, baseline: Baseline) -> list[Flip]:
    """Return the items that flipped, the newly failing first, then by size and id."""
    alignment = align(baseline, now)
    then, after = baseline.sums[alignment.then], now.sums[alignment.now]
    counts = is_counts(then) and is_counts(after)
    falls, rises = flipped(then, baseline.k, after, now.rounds)
    differences = np.round(after / now.rounds - then / baseline.k, 12)

    def share(total: float, rounds: int) -> str:
        return f"{int(total)}/{rounds}" if counts else f"{total / rounds:.4g}"

    chosen = []
    for index in np.flatnonzero(falls | rises).tolist():
        old, new = int(alignment.then[index]), int(alignment.now[index])
        chosen.append(
            Flip(
                id=now.ids[new],
                then=share(then[index], baseline.k),
                now=share(after[index], now.rounds),
                change=float(differences[index]),
                input=now.inputs[new],
                was=baseline.outputs[old],
                is_=now.outputs[new],
            )
        )
    return sorted(chosen, key=lambda flip: (flip.change > 0, -abs(flip.change), flip.id))


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


def failure(
    result: GateResult,
    items: Sequence[Flip],
    *,
    test: str,
    csv: str | None = None,
    mode: str = "",
    path: str = "baselines",
    renamed_from: str | None = None,
) -> str:
    """Return why a gate fails, in the order of importance.

    Parameters
    ----------
    test : str
        Node id.
    csv : str, optional
        Where all flips are.
    mode : str, optional
        The option that has the same results again, such as ``--modal-mode=replay``.
    path, renamed_from : str, optional
        Of a missing baseline: where it is to be, and the gate whose baseline has the same items.
    """
    parts = []
    if {"drop", "anchor", "inconclusive"} & {*result.reasons}:
        parts.append(_regression(result, items, test, csv, accept_command(test, mode)))
    if "min_accuracy" in result.reasons and result.demands.min_accuracy is not None:
        what = (
            f"ACCURACY TOO LOW  {result.gate}  {_percent(result.accuracy)} is below min_accuracy "
            f"{_percent(result.demands.min_accuracy)}   95% interval {_percents(result.accuracy_interval)}"
        )
        parts.append(three_parts(what, test, "find what broke the model, or lower min_accuracy in the test"))
    if "must_pass" in result.reasons:
        names = first_few((safe_line(each, _WIDEST_ID) for each in result.must_pass), SHOWN)
        what = f"MUST PASS  {result.gate}  {count(len(result.must_pass), 'item')} of must_pass failed: {names}"
        parts.append(three_parts(what, test, "look at their outputs, or remove them from must_pass"))
    if "no baseline" in result.reasons:
        parts.append(missing_baseline(result, test=test, mode=mode, path=path, renamed_from=renamed_from))
    if "replaced" in result.reasons:
        what = f"NOTHING COMPARED  {result.gate}  none of the baseline's items is among the {result.n:,} of this run"
        remedy = (
            f"use the old ids of the items; if they were replaced on purpose, accept that: {accept_command(test, mode)}"
        )
        parts.append(three_parts(what, test, remedy))
    return "\n".join(parts)


def missing_baseline(
    result: GateResult, *, test: str, mode: str = "", path: str = "baselines", renamed_from: str | None = None
) -> str:
    """Return that a gate compared nothing, and which command records its baseline."""
    remedy = f"record it and commit it: {update_command(test, mode)}"
    if renamed_from is not None:
        remedy = (
            f"if the gate was {renamed_from!r} before, rename {renamed_from}.jsonl and {renamed_from}.outputs.jsonl "
            f"with git mv; otherwise {remedy}"
        )
    what = (
        f"NO BASELINE  {result.gate}  {_percent(result.accuracy)} of {count(result.n, 'item')}, compared with nothing"
    )
    return three_parts(what, f"{test}, {path}", remedy)


def _regression(result: GateResult, items: Sequence[Flip], test: str, csv: str | None, command: str) -> str:
    change = result.change
    assert change is not None, "a regression is a comparison"
    title = "ACCURACY REGRESSION" if "inconclusive" not in result.reasons else "ACCURACY INCONCLUSIVE"
    lines = []
    if "anchor" in result.reasons and "drop" not in result.reasons and result.anchor is not None:
        lines += [
            _headline(title, result.gate, result.anchor),
            f"  {_test_of(result.anchor, 'anchor')}: p={_p(result.anchor.p)}, recorded on {result.anchor_date}: "
            "no single update fell as far",
            f"  since the last update {_percent(change.then)} -> {_percent(change.now)}: p={_p(change.p)}",
        ]
    else:
        lines += [
            _headline(title, result.gate, change),
            f"  {_test_of(change, 'baseline')}: p={_p(change.p)}{_fresh(result)}",
        ]
        if "inconclusive" in result.reasons:
            lines.append(f"  a drop of {_points(TOLERABLE)} can't be ruled out, which fails with modal_gate = strict")
        if "anchor" in result.reasons and result.anchor is not None:
            then, p = _percent(result.anchor.then), _p(result.anchor.p)
            lines.append(f"  and against the anchor of {result.anchor_date}: {then}, p={p}")
    failing, passing = (
        ("newly failing", "newly passing") if change.method == "exact paired test" else ("lower", "higher")
    )
    rate = "" if result.flip_rate is None else f" (baseline flip rate {_percent(result.flip_rate)})"
    lines.append(f"  {result.newly_failing:,} {failing}, {result.newly_passing:,} {passing}{rate}")
    lines += _table(items, csv)
    first = "add items, or record more rounds" if "inconclusive" in result.reasons else "find what changed the model"
    remedy = f"{first}; if the change is intended, accept it: {command}"
    return three_parts("\n".join(lines), test, remedy)


def _headline(title: str, gate: str, change: Change) -> str:
    low, high = (f"{100 * end:.1f}" for end in change.interval)
    return (
        f"{title}  {gate}  {_percent(change.then)} -> {_percent(change.now)}   "
        f"change {100 * change.change:+.1f} points, 95% interval [{low}, {high}]"
    )


def _test_of(change: Change, against: str) -> str:
    return f"{change.method} against {count(change.k, f'{against} round')}"


def _fresh(result: GateResult) -> str:
    fresh = result.rounds - 1
    if not fresh:
        return ""
    if result.policy.updating or not result.policy.confirm:
        return f", over {count(result.rounds, 'round')} now"
    return f", confirmed by {count(fresh, 'fresh round')}"


def accept_command(test: str, mode: str = "") -> str:
    """Return the command that accepts what the gates of a test found, and what no other test's gates did."""
    return f'{update_command(test, mode)} --modal-accept-regression="why"'


def _table(items: Sequence[Flip], csv: str | None) -> list[str]:
    if not items:
        return []
    rows = [("id", "then", "now", "input", "was -> is")]
    for flip in items[:SHOWN]:
        was, is_ = (_quoted(text, _WIDEST_OUTPUT) for text in (flip.was, flip.is_))
        rows.append(
            (safe_line(flip.id, _WIDEST_ID), flip.then, flip.now, _quoted(flip.input, _WIDEST_INPUT), f"{was} -> {is_}")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    if len(items) > SHOWN or csv is not None:
        more = f"... {len(items) - SHOWN:,} more" if len(items) > SHOWN else "full text"
        lines.append(f"  {more}" + (f": {csv}" if csv is not None else ""))
    return lines


def _quoted(text: str | None, width: int) -> str:
    return "?" if text is None else f'"{safe_line(text, width)}"'


# One line.


def summary_line(result: GateResult) -> str:
    """Return in one line the result of a gate, and what it can see."""
    line = f"{result.gate}  {result.verdict}  "
    change = result.change
    if change is None and result.policy.updating and not result.failed:
        # Nothing could be compared, and nothing had to be: this is what later runs are compared with.
        line = f"{result.gate}  first baseline  {_percent(result.accuracy)} {_percents(result.accuracy_interval)}"
    elif change is None:
        line += f"{_percent(result.accuracy)} {_percents(result.accuracy_interval)}, compared with nothing"
    else:
        low, high = (f"{100 * end:+.1f}" for end in change.interval)
        line += (
            f"{_percent(change.then)} -> {_percent(change.now)}, {100 * change.change:+.1f} points [{low}, {high}], "
        )
        line += f"p={_p(change.p_gain if result.verdict is Verdict.IMPROVED else change.p)}{_fresh(result)}"
        if result.verdict is Verdict.FAIL and "anchor" in result.reasons and result.anchor is not None:
            line += f", against the anchor {100 * result.anchor.change:+.1f} points p={_p(result.anchor.p)}"
    if result.verdict is Verdict.IMPROVED and not result.policy.updating:
        line += "; record it with --modal-update-baselines"
    parts = [line, sight(result.outlook)]
    if result.new:
        parts.append(f"{count(len(result.new), 'new item')} not gated")
    if result.speed_ratio is not None:
        parts.append(f"{result.speed_ratio:.2f} x the baseline's speed")
    return "; ".join(parts)


def sight(outlook: Sensitivity) -> str:
    """Return what a gate can see."""
    if outlook.powerless:
        return f"n={outlook.n:,}: it can't fail, even if every item does"
    if outlook.detectable is None:
        return f"n={outlook.n:,}"
    return f"n={outlook.n:,}: sees a drop of {_points(outlook.detectable)} or more (80% power)"


def shortcomings(outlook: Sensitivity, gate: str) -> list[str]:
    """Return, when a gate is recorded, what it will not be able to see."""
    found = []
    if outlook.powerless:
        found.append(
            f"gate {gate} can't fail: with {count(outlook.n, 'item')} its smallest p-value is "
            f"{_p(outlook.smallest_p)}, but it fails at {_p(outlook.level)}; add items, or record more rounds"
        )
    if outlook.too_small:
        found.append(
            f"gate {gate}: with {count(outlook.n, 'item')} a single flip makes the gate inconclusive: a drop of "
            f"{_points(TOLERABLE)} can't be ruled out; add items"
        )
    return found


def warnings_of(result: GateResult) -> list[str]:
    """Return the warnings of a gate, which fail nothing."""
    found = [f"gate {result.gate}: {warning}" for warning in result.warnings]
    if result.verdict is Verdict.INCONCLUSIVE and not result.failed and result.change is not None:
        found.append(
            f"gate {result.gate} is inconclusive: a drop of {_points(TOLERABLE)} can't be ruled out, the change is "
            f"{100 * result.change.change:+.1f} points, at least {100 * result.change.lower:+.1f} with 95% confidence; "
            "add items"
        )
    if result.new:
        found.append(
            f"gate {result.gate}: {count(len(result.new), 'item')} not in the baseline and not gated; record them with "
            "--modal-update-baselines"
        )
    if result.speed_ratio is not None and result.speed_ratio < _SLOWER:
        found.append(f"gate {result.gate}: {result.speed_ratio:.2f} x the items per second of the baseline")
    return found


def unnoticed_inputs(now: Evaluation) -> str | None:
    """Return a note for rows without inputs: an item whose input has changed is compared all the same."""
    if any(now.digests):
        return None
    return (
        f"the rows have no inputs ({', '.join(map(repr, INPUT_NAMES))}), so that changed ones can't be noticed; "
        'name the column: input="..."'
    )


def totals_of(compared: Sequence[bool], recorded: int = 0) -> str:
    """Return how many gates compared something: one that did not never counts as passed.

    Parameters
    ----------
    recorded : int
        How many of the others got their first baseline.
    """
    without = len(compared) - sum(compared) - recorded
    parts = [f"{sum(compared):,} gated"]
    parts += [f"{recorded:,} recorded for the first time"] if recorded else []
    parts += [f"{without:,} without baseline"] if without else []
    return ", ".join(parts)


def properties(result: GateResult) -> dict[str, str]:
    """Return the JUnit properties of a gate."""
    values: dict[str, object] = {
        "verdict": result.verdict,
        "n": result.n,
        "rounds": result.rounds,
        "accuracy": f"{result.accuracy:.6g}",
    }
    for name, change in (("", result.change), ("anchor_", result.anchor)):
        if change is not None:
            values[f"{name}p"] = f"{change.p:.6g}"
            values[f"{name}change"] = f"{change.change:.6g}"
            values[f"{name}interval"] = f"{change.interval[0]:.6g} {change.interval[1]:.6g}"
    if result.change is not None:
        values |= {"newly_failing": result.newly_failing, "newly_passing": result.newly_passing}
    return {f"modal_gate.{result.gate}.{name}": str(value) for name, value in values.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _percents(interval: tuple[float, float]) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _p(value: float) -> str:
    return f"{value:.2g}"
