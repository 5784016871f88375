"""Evaluations and baselines that the tests of the gate share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modal.gate.judge.baseline import Baseline
from pytest_modal.gate.judge.baseline_file import baseline_texts
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.gate.judge.policy import Demands, Origin, Policy
from pytest_modal.gate.judge.rows import input_digest
from pytest_modal.gate.judge.update import Update, plan_update
from pytest_modal.gate.judge.verdict import GateResult, judge
from pytest_modal.gate.ledger import NewBaseline

GATE, TEST, WHERE = "gsm8k", "test_gsm8k.py::test_accuracy", "baselines/gsm8k.jsonl"
NO_ORIGIN = Origin()


def evaluation(
    sums: Sequence[float], rounds: int = 1, *, first: int = 0, outputs: Sequence[str | None] | None = None, **other: Any
) -> Evaluation:
    """Return an evaluation of items named by their number, from `first` on; a sum of scores is spread evenly."""
    ids = tuple(f"gsm8k/{number:04}" for number in range(first, first + len(sums)))
    inputs = tuple(f"A train leaves {each}" for each in ids)
    fields = {
        "ids": ids,
        "results": results_of(sums, rounds),
        "digests": tuple(map(input_digest, inputs)),
        "inputs": inputs,
        "outputs": tuple(outputs) if outputs is not None else tuple("42" if each else "forty" for each in sums),
    }
    return Evaluation(**{**fields, **other})


def results_of(sums: Sequence[float], rounds: int) -> Any:
    """Return results of so many rounds with these sums."""
    values = np.array(sums, float)
    if (values != np.round(values)).any():
        return np.repeat(values[:, None] / rounds, rounds, axis=1)
    return (np.arange(rounds) < values[:, None]).astype(float)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline and its outputs, as a run does at its end."""
    NewBaseline(str(path), *baseline_texts(baseline)).write()


def judged(now: Evaluation, baseline: Baseline | None, *, origin: Origin = NO_ORIGIN, **chosen: Any) -> GateResult:
    """Judge with keywords of `Demands` and `Policy`."""
    demands = Demands(**{key: chosen.pop(key) for key in list(chosen) if key in Demands.__dataclass_fields__})
    policy = Policy(**chosen)
    return judge(GATE, now, baseline, demands=demands, policy=policy, origin=origin, where=WHERE, test=TEST)


def updated(
    now: Evaluation, old: Baseline | None = None, *, date: str = "2026-01-31", origin: Origin = NO_ORIGIN, **chosen: Any
) -> Update:
    """Judge and plan the update, as a run that records baselines does."""
    result = judged(now, old, updating=True, origin=origin, **chosen)
    return plan_update(result, now, old, origins=[origin] * now.rounds, date=date)


def recorded(now: Evaluation, old: Baseline | None = None, **chosen: Any) -> Baseline:
    """Return the baseline that an update gives."""
    update = updated(now, old, **chosen)
    assert update.baseline is not None, update.note
    return update.baseline
