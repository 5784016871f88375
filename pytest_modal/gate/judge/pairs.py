"""Pairs of evaluations of the same items, from two files or two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.wording import count, some, three_parts


@dataclass(frozen=True)
class Pair:
    """Two evaluations of the items that both have, and what there is to note about them."""

    name: str
    before: Evaluation
    after: Evaluation
    notes: tuple[str, ...] = ()


def pair(name: str, before: Evaluation, after: Evaluation, where: str, notes: Sequence[str] = ()) -> Pair:
    """Pair two evaluations by the ids of their items; those that one of them lacks are left out, with a note.

    Raises
    ------
    ValueError
        No item is in both, or an id has another input.
    """
    shared = set(before.ids) & set(after.ids)
    if not shared:
        remedy = "compare results of the same items: they are paired by id"
        raise ValueError(three_parts(f"{name} has no item in both", where, remedy))
    if left_out := before.n + after.n - 2 * len(shared):
        notes = [*notes, f"{count(left_out, 'item')} in one only, not compared"]
    first, second = (each if each.n == len(shared) else _only(each, shared) for each in (before, after))
    digests = zip(first.ids, first.digests, second.digests, strict=True)
    if changed := [each for each, mine, theirs in digests if mine and theirs and mine != theirs]:
        what = f"{name}: {count(len(changed), 'item')} of {len(shared):,} are not the same in both: {some(changed)}"
        raise ValueError(three_parts(what, where, "compare results of the same items: an id names one item for good"))
    if second.categories is None:
        second = replace(second, categories=first.categories)
    return Pair(name, replace(first, categories=None), second, tuple(notes))


def _only(evaluation: Evaluation, ids: set[str]) -> Evaluation:
    """Return an evaluation of some of its items."""
    chosen = np.array([index for index, each in enumerate(evaluation.ids) if each in ids])

    def of(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[index] for index in chosen)

    return replace(
        evaluation,
        ids=of(evaluation.ids),
        results=evaluation.results[chosen],
        digests=of(evaluation.digests),
        inputs=tuple(evaluation.inputs[index] for index in chosen),
        outputs=tuple(evaluation.outputs[index] for index in chosen),
        clusters=None if evaluation.clusters is None else of(evaluation.clusters),
        categories=None if evaluation.categories is None else of(evaluation.categories),
    )
