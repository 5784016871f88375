"""Findings of a gate in words: what fell or changed, how often chance does that, and the table by category."""

from __future__ import annotations

import math

from pytest_modal.gate.judge.comparison import Category
from pytest_modal.gate.judge.decision import Verdict
from pytest_modal.gate.judge.figures import Figures, p_value
from pytest_modal.gate.judge.flips import WIDEST_ID
from pytest_modal.gate.judge.policy import TOLERABLE
from pytest_modal.gate.judge.statistics import Change
from pytest_modal.gate.judge.verdict import GateResult
from pytest_modal.wording import aligned, count, first_few, safe_line

_OFTEN = 1_000_000_000  # more says nothing
_CATEGORIES = 12  # of more, those that pass are only counted


def finding(result: GateResult) -> list[str]:
    """Return what a gate has found: the headline, how many items changed, what the fresh rounds say, categories."""
    change = result.change
    assert change is not None, "a finding is a comparison"
    figures = Figures.of(result)
    if result.verdict is Verdict.CHANGED:
        lines = changed(result)
    elif result.verdict is Verdict.INCONCLUSIVE:
        lines = [
            f"ACCURACY INCONCLUSIVE  {result.gate}  {figures.change(change)}",
            f"  {moved(result, change)}; a drop of {figures.points(TOLERABLE)} or more was seen, and chance may have "
            f"done it (p={p_value(change.p)}): add items; it fails with modal_gate = strict",
        ]
    elif result.anchor is not None and {*result.reasons} & {"drop", "category", "anchor"} == {"anchor"}:
        lines = [
            f"ACCURACY REGRESSION  {result.gate}  {figures.change(result.anchor)}",
            f"  since the anchor of {result.anchor_date}; {by_chance(result.anchor)}",
            f"  no single update fell as far: since the last one {figures.change(change)}",
        ]
    elif _is_of_categories(result):
        lines = _categories_fell(result)
    else:
        lines = [f"ACCURACY REGRESSION  {result.gate}  {figures.change(change)}"]
        lines.append(f"  {moved(result, change)}; {by_chance(change)}")
    if result.fresh_accuracy is not None and result.verdict is not Verdict.INCONCLUSIVE:
        lines.append(f"  {_fresh_rounds(result)}")
    if {"drop", "anchor"} <= {*result.reasons} and result.anchor is not None:
        since = f"{figures.change(result.anchor)}, p={p_value(result.anchor.p)}"
        lines.append(f"  and against the anchor of {result.anchor_date}: {since}")
    return [*lines, *category_table(result)]


def _fresh_rounds(result: GateResult) -> str:
    fresh, accuracy, replicated = count(result.rounds - 1, "fresh round"), result.fresh_accuracy, result.replicated
    if _is_of_categories(result):
        worst = _fallen(result)[0]
        accuracy, replicated = worst.fresh, True
    assert accuracy is not None, "there were fresh rounds"
    level = Figures.of(result).level(result.demands.sign * accuracy)
    return f"{'confirmed' if replicated else 'not confirmed'} by {fresh}: {level}"


def _is_of_categories(result: GateResult) -> bool:
    return "category" in result.reasons and "drop" not in result.reasons


def _fallen(result: GateResult) -> list[Category]:
    """Return the categories that fail, the surest drop first."""
    return sorted((each for each in result.categories if each.verdict is Verdict.FAIL), key=lambda each: each.p)


def _categories_fell(result: GateResult) -> list[str]:
    """Return that categories fell, though all items together did not."""
    figures, (worst, *others) = Figures.of(result), _fallen(result)
    assert result.change is not None, "categories are compared"
    name = safe_line(worst.name, WIDEST_ID) + (f" and {len(others):,} more" if others else "")
    return [
        f"ACCURACY REGRESSION  {result.gate}, {name}  {figures.change(worst.change)}",
        f"  {_worse_and_better(worst.worse, worst.better, worst.change.n)} (p={p_value(worst.p)} by Holm)",
        f"  all items together: {figures.change(result.change)}",
    ]


def changed(result: GateResult) -> list[str]:
    """Return that more items changed than by chance, though it can't be said that it is worse."""
    assert result.change is not None, "a change is a comparison"
    headline = f"CHANGED  {result.gate}  {Figures.of(result).change(result.change)}"
    if result.whole is Verdict.CHANGED:
        found = _far_more(result.newly_failing, result.newly_passing, result.change.n)
        why = "Whether it is worse on the whole can't be said."
        if not result.replicated:
            why = "The fresh rounds alone don't show a drop, so whether it is worse can't be said."
        return [headline, f"  {found} {why}"]
    which = [each for each in result.categories if each.verdict is Verdict.CHANGED]
    names = first_few(safe_line(each.name, WIDEST_ID) for each in which)
    worse, better, n = (sum(each) for each in zip(*((c.worse, c.better, c.change.n) for c in which), strict=True))
    return [headline, f"  in {names}: {_far_more(worse, better, n)} Whether it is worse there can't be said."]


def _far_more(worse: int, better: int, n: int) -> str:
    if not worse + better:
        return f"none of {count(n, 'item')} changed in most rounds, but in some far more than re-runs do."
    return (
        f"{worse + better:,} of {count(n, 'item')} changed, far more than re-runs do: {worse:,} got worse, "
        f"{better:,} better."
    )


def moved(result: GateResult, change: Change) -> str:
    """Return how many items got worse, and how many better."""
    return _worse_and_better(result.newly_failing, result.newly_passing, change.n)


def _worse_and_better(worse: int, better: int, n: int) -> str:
    some = "" if worse + better else " in most rounds, but more did in some"
    return f"{worse:,} of {count(n, 'item')} got worse, {better:,} better{some}"


def by_chance(change: Change) -> str:
    """Return how often nothing but chance does this."""
    times = 1 / change.p
    digits = 10 ** math.floor(math.log10(times))
    once = f"once in {round(times / digits) * digits:,} times" if times > 1 else "always"
    if times > _OFTEN:
        once = f"less than once in {_OFTEN:,} times"
    return f"re-running the unchanged model would do that {once} (p={p_value(change.p)})"


def category_table(result: GateResult) -> list[str]:
    """Return the lines of a table by category, the largest drop first; of many only those that do not pass."""
    figures = Figures.of(result)

    def size(each: Category) -> tuple[float, str]:
        return each.change.change, each.name

    found = sorted(result.categories, key=size)
    shown = found if len(found) <= _CATEGORIES else [each for each in found if each.verdict is not Verdict.PASS]
    more = [f"  {len(found) - len(shown):,} of {len(found):,} categories PASS"] if len(shown) < len(found) else []
    if not shown:
        return more
    rows = [("category", "items", "change", "worse", "better", "p (Holm)", "")]
    for each in shown:
        cells = (
            f"{each.change.n:,}",
            figures.change(each.change),
            f"{each.worse:,}",
            f"{each.better:,}",
            p_value(each.p),
        )
        rows.append((safe_line(each.name, WIDEST_ID), *cells, str(each.verdict)))
    return [*(f"  {line}" for line in aligned(rows)), *more]
