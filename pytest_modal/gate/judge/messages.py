"""Messages of a gate. Ids, inputs and outputs are text of unknown origin: they are made safe to show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_modal.gate.judge.baseline import update_command
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.figures import Figures, p_value, percent, percents, points
from pytest_modal.gate.judge.findings import category_table, changed, finding, moved
from pytest_modal.gate.judge.flips import SHOWN, WIDEST_ID, Flip, flip_table
from pytest_modal.gate.judge.policy import TOLERABLE
from pytest_modal.gate.judge.rows import INPUT_NAMES
from pytest_modal.gate.judge.sensitivity import Sensitivity
from pytest_modal.gate.judge.statistics import Change
from pytest_modal.gate.judge.verdict import GateResult
from pytest_modal.wording import count, first_few, safe_line, three_parts


def failure(
    result: GateResult,
    items: Sequence[Flip],
    *,
    test: str,
    csv: str | None = None,
    mode: str = "",
    path: str = "baselines",
    renamed_from: str | None = None,
    shown: int = SHOWN,
) -> str:
    """Return why a gate fails, in the order of importance.

    Parameters
    ----------
    test : str
        Node id.
    csv : str, optional
        Where all flips are.
    mode : str, optional
        The options that have the same results again, such as ``--modal-mode=replay``.
    path, renamed_from : str, optional
        Of a missing baseline: where it is to be, and the gate whose baseline has the same items.
    shown : int
        Flips that are listed.
    """
    parts = []
    if "margin" in result.reasons:
        parts.append(_not_ruled_out(result, items, test, csv, shown))
    if {"drop", "category", "anchor", "changed", "inconclusive"} & {*result.reasons}:
        way_out = f"if this is intended: {accept_command(test, mode)}"
        if result.change is not None and not result.recordable:
            way_out = "if this is intended, set margin= to the drop that is tolerable"
        parts.append("\n".join([*finding(result), *flip_table(items, csv, shown), f"  {way_out}"]))
    if "min_accuracy" in result.reasons and result.demands.min_accuracy is not None:
        what = (
            f"ACCURACY TOO LOW  {result.gate}  {percent(result.accuracy)} is below min_accuracy "
            f"{percent(result.demands.min_accuracy)}   90% interval {percents(result.accuracy_interval)}"
        )
        parts.append(three_parts(what, test, "find what broke the model, or lower min_accuracy in the test"))
    if "must_pass" in result.reasons:
        names = first_few((safe_line(each, WIDEST_ID) for each in result.must_pass), SHOWN)
        of = "" if result.rounds == 1 else f" in most of {count(result.rounds, 'round')}"
        what = f"MUST PASS  {result.gate}  {count(len(result.must_pass), 'item')} of must_pass failed{of}: {names}"
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
    level = Figures.of(result).level(result.demands.sign * result.accuracy)
    what = f"NO BASELINE  {result.gate}  {level} of {count(result.n, 'item')}, compared with nothing"
    return three_parts(what, f"{test}, {path}", remedy)


def _not_ruled_out(result: GateResult, items: Sequence[Flip], test: str, csv: str | None, shown: int) -> str:
    change, margin, figures = result.change, result.demands.margin, Figures.of(result)
    assert change is not None, "a margin is for a comparison"
    assert margin is not None, "a margin was demanded"
    lines = [
        f"NOT AS GOOD  {result.gate}  {figures.change(change)}",
        f"  {moved(result, change)} than the reference; a drop of {figures.points(margin)}, the margin, "
        "is not ruled out",
        *category_table(result),
        *flip_table(items, csv, shown),
    ]
    enough = enough_items(change, margin)
    remedy = "the drop itself is as large as the margin: more items won't help; improve this arm, or raise margin="
    if enough is not None:
        remedy = f"about {enough:,} items would rule it out if the change stays as it is; or raise margin="
    return three_parts("\n".join(lines), test, remedy)


def enough_items(change: Change, margin: float) -> int | None:
    """Return how many items rule out the margin, if the change stays as it is; None if none do.

    The half width of the interval falls with the root of the number of items.
    """
    # The upper end may have been drawn to zero.
    room, half = margin + change.change, change.change - change.interval[0]
    if room <= 0 or not math.isfinite(half):
        return None
    return max(change.n + 1, math.ceil(change.n * (half / room) ** 2))


def accept_command(test: str, mode: str = "") -> str:
    """Return the command that accepts what the gates of a test found, and what no other test's gates did."""
    return f'{update_command(test, mode)} --modal-accept-regression="why"'


# One line.


def summary_line(result: GateResult) -> str:
    """Return in one line the result of a gate, and what it can see."""
    figures, change = Figures.of(result), result.change
    level = figures.level(result.demands.sign * result.accuracy)
    low, high = (figures.level(result.demands.sign * end) for end in result.accuracy_interval)
    recording = result.policy.updating or result.policy.adding
    line = f"{result.gate}  {result.verdict}  "
    if change is None and recording and not result.failed:
        # Nothing could be compared, and nothing had to be: this is what later runs are compared with.
        line = f"{result.gate}  first baseline  {level} [{low}, {high}]"
    elif change is None:
        line += f"{level} [{low}, {high}], compared with nothing"
    else:
        line += f"{figures.change(change)}, "
        line += f"p={p_value(change.p_gain if result.verdict is Verdict.IMPROVED else change.p)}{_fresh(result)}"
        line += "".join(f", {each}" for each in _why(result, change, figures))
    if result.verdict is Verdict.IMPROVED and not recording and result.recordable:
        line += "; record it with --modal-update-baselines"
    parts = [line, sight(result.outlook)]
    if result.new:
        parts.append(f"{count(len(result.new), 'new item')} not gated")
    return "; ".join(parts)


def _why(result: GateResult, change: Change, figures: Figures) -> Iterator[str]:
    """Yield what a verdict follows from besides the change of all items and its interval."""
    demands, verdict = result.demands, result.verdict
    sure = change.interval[1] < 0 or change.interval[0] > 0
    if verdict is Verdict.PASS and demands.margin is not None:
        yield f"less than margin={demands.margin:g} is lost"
    elif verdict is Verdict.PASS and sure:
        yield f"less than min_drop={demands.min_drop:g}"
    if "margin" in result.reasons:
        yield f"a drop of margin={demands.margin:g} is not ruled out"
    if fallen := [safe_line(each.name, WIDEST_ID) for each in result.categories if each.verdict is Verdict.FAIL]:
        yield f"worse in {first_few(fallen)}"
    if verdict is Verdict.FAIL and "anchor" in result.reasons and result.anchor is not None:
        yield f"against the anchor {figures.change(result.anchor)} p={p_value(result.anchor.p)}"
    if "min_accuracy" in result.reasons and demands.min_accuracy is not None:
        yield f"below min_accuracy {percent(demands.min_accuracy)}"
    if "must_pass" in result.reasons:
        yield f"{count(len(result.must_pass), 'item')} of must_pass failed"


def _fresh(result: GateResult) -> str:
    if result.fresh_accuracy is None:
        return f", over {count(result.rounds, 'round')} now" if result.rounds > 1 else ""
    word = "confirmed by" if result.whole is Verdict.FAIL else "after"
    if result.whole is Verdict.CHANGED and not result.replicated:
        word = "not confirmed by"
    level = Figures.of(result).level(result.demands.sign * result.fresh_accuracy)
    return f", {word} {count(result.rounds - 1, 'fresh round')}: {level}"


def sight(outlook: Sensitivity) -> str:
    """Return what a gate can see."""
    if outlook.powerless:
        return f"n={outlook.n:,}: it can't fail, even if every item does"
    if outlook.detectable is None:
        return f"n={outlook.n:,}"
    return f"n={outlook.n:,}: sees a drop of {points(outlook.detectable)} if nothing else changes (80% power)"


def shortcomings(outlook: Sensitivity, gate: str) -> list[str]:
    """Return, when a gate is recorded, what it will not be able to see."""
    if outlook.powerless:
        return [
            f"gate {gate} can't fail: with {count(outlook.n, 'item')} its smallest p-value is "
            f"{p_value(outlook.smallest_p)}, but it fails at {p_value(outlook.level)}; add items, or record more rounds"
        ]
    if not outlook.too_small:
        return []
    least = "no drop" if outlook.detectable is None else f"drops of {points(outlook.detectable)} or more"
    return [
        f"gate {gate} is too small to see a drop of {points(TOLERABLE)}: with {count(outlook.n, 'item')} it sees "
        f"{least}; add items"
    ]


def warnings_of(result: GateResult) -> list[str]:
    """Return the warnings of a gate, which fail nothing."""
    found = [f"gate {result.gate}: {warning}" for warning in result.warnings]
    if result.new:
        found.append(
            f"gate {result.gate}: {count(len(result.new), 'item')} not in the baseline and not gated; record them with "
            "--modal-update-baselines"
        )
    return found


def remarks_of(result: GateResult, now: Evaluation) -> list[str]:
    """Return what is remarkable about a gate and no reason for a warning."""
    found = []
    if result.verdict is Verdict.CHANGED:
        found.append(changed(result)[1].strip())
    if result.verdict is Verdict.INCONCLUSIVE and result.change is not None:
        found.append(
            f"a drop of {points(TOLERABLE)} or more was seen, and chance may have done it "
            f"(p={p_value(result.change.p)}); add items"
        )
    if not any(now.digests):
        found.append(
            f"the rows have no inputs ({', '.join(map(repr, INPUT_NAMES))}), so that changed ones can't be noticed; "
            'name the column: input="..."'
        )
    if table := category_table(result):
        found.append("\n".join(["by category:", *table]) if len(table) > 1 else table[0].strip())
    return found


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
