"""Baselines: what is kept of an accepted evaluation, and which of its items an evaluation has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_modal.gate.judge.errors import BaselineError
from pytest_modal.gate.judge.evaluation import Evaluation, dataset_digest
from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.wording import count, some, three_parts

MOST_ROUNDS = 1_000


@dataclass(frozen=True)
class Anchor:
    """The accuracy first recorded, or last accepted with a reason: `k` rounds on `date`."""

    k: int
    accuracy: float
    date: str

    def __post_init__(self) -> None:
        # Results are kept for each round: a forged number of them would take all memory.
        if not 1 <= self.k <= MOST_ROUNDS:
            raise ValueError(f"{self.k} rounds")


@dataclass(frozen=True)
class Entry:
    """One recording in the history of a baseline.

    Attributes
    ----------
    reason : str or None
        Why a regression was accepted.
    anchor : Anchor or None
        The anchor that this acceptance replaced.
    items : str or None
        What changed in the set of items.
    """

    date: str
    accuracy: float
    n: int
    k: int
    reason: str | None = None
    anchor: Anchor | None = None
    items: str | None = None


@dataclass(frozen=True)
class Round:
    """One round of a baseline: when, where and with what it was recorded.

    Attributes
    ----------
    app : str or None
        Of the session on Modal; the mode, where there was none.
    packages : tuple of str
        Requirements of the images.
    """

    date: str
    accuracy: float
    app: str | None = None
    gpu: str | None = None
    model: str | None = None
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Baseline:
    """An accepted evaluation: what became of each item in each round; sorted by id.

    Attributes
    ----------
    results : array, shape (n, k)
        Whether each item was right, or how right, or its score; oldest round first.
    digests : tuple of str
        Digest of each input; empty where there was none.
    outputs : tuple of (str or None)
        Outputs of the model.
    rounds : tuple of Round, length k
    anchor_results : array, shape (n, anchor.k)
        As `results`, of the anchor; NaN for items that the anchor has not seen.
    outdated : bool
        Whether the file has an older schema: the next update writes it again.
    """

    gate: str
    ids: tuple[str, ...]
    results: Floats
    digests: tuple[str, ...]
    outputs: tuple[str | None, ...]
    rounds: tuple[Round, ...]
    anchor: Anchor
    anchor_results: Floats
    history: tuple[Entry, ...]
    outdated: bool = False

    @property
    def k(self) -> int:
        """Number of rounds."""
        return len(self.rounds)

    @property
    def sums(self) -> Floats:
        """Right answers, or the sum of scores, over the rounds."""
        return np.asarray(self.results.sum(axis=1), float)

    @property
    def anchor_sums(self) -> Floats:
        """As `sums`, over the rounds of the anchor."""
        return np.asarray(self.anchor_results.sum(axis=1), float)

    @property
    def accuracy(self) -> float:
        """Share of right answers, or mean score, over all items and rounds."""
        return float(self.results.mean())

    @property
    def sessions(self) -> int:
        """How many sessions the rounds are from: one is blind to what differs between sessions."""
        return len({(each.app, each.date) for each in self.rounds})

    @property
    def gpu(self) -> str | None:
        """The device of the newest round."""
        return self.rounds[-1].gpu

    @property
    def model(self) -> str | None:
        """The revision of the model in the newest round."""
        return self.rounds[-1].model

    @property
    def dataset(self) -> str:
        """Digest of the items: their ids and inputs."""
        return dataset_digest(self.ids, self.digests)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which items of a baseline and of an evaluation are the same.

    Attributes
    ----------
    then, now : array of int
        Positions of the same items in the baseline and in the evaluation.
    missing, new, changed : tuple of str
        Ids only in the baseline; only in the evaluation; in both, with another input.
    """

    then: np.ndarray[tuple[int], np.dtype[np.intp]]
    now: np.ndarray[tuple[int], np.dtype[np.intp]]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def summary(self) -> str | None:
        """What differs, in words."""
        parts = {"removed": self.missing, "added": self.new, "changed inputs of": self.changed}
        words = [f"{word} {len(ids):,}" for word, ids in parts.items() if ids]
        return f"{', '.join(words)} items" if words else None


def align(baseline: Baseline, now: Evaluation) -> Alignment:
    """Find the same items: equal ids, and equal inputs where the baseline has one."""
    if baseline.ids == now.ids and baseline.digests == now.digests:  # nearly always, and there may be 100,000
        every = np.arange(now.n)
        return Alignment(every, every, (), (), ())
    position = {each: index for index, each in enumerate(now.ids)}
    pairs, missing, changed = [], [], []
    for index, (each, digest) in enumerate(zip(baseline.ids, baseline.digests, strict=True)):
        other = position.pop(each, None)
        if other is None:
            missing.append(each)
        elif digest and digest != now.digests[other]:
            changed.append(each)
        else:
            pairs.append((index, other))
    indices = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return Alignment(indices[:, 0], indices[:, 1], tuple(missing), tuple(position), tuple(changed))


def check_items(baseline: Baseline, now: Evaluation, alignment: Alignment, where: str, test: str) -> None:
    """Refuse to compare other items than those of the baseline.

    Raises
    ------
    BaselineError
        Items of the baseline are missing, or have other inputs.
    """
    again = f"record a new baseline: {update_command(test)} (in replay mode too, with --modal-mode=replay)"
    if alignment.missing:
        what = f"gate {baseline.gate!r}: the rows lack {count(len(alignment.missing), 'item')} of the baseline"
        remedy = f"pass all items to the gate; if they were removed on purpose, {again}"
        raise BaselineError(three_parts(f"{what}: {some(alignment.missing)}", where, remedy))
    if not alignment.changed:
        return
    if not any(now.digests):
        what = f"gate {baseline.gate!r}: the rows have no inputs, but the baseline has"
        remedy = f"keep the input column (input=...), or {again}"
        raise BaselineError(three_parts(what, where, remedy))
    changed = count(len(alignment.changed), "item")
    what = f"gate {baseline.gate!r}: the input of {changed} has changed since the baseline"
    remedy = f"use a new id for each changed item; if the change is intended, {again}"
    raise BaselineError(three_parts(f"{what}: {some(alignment.changed)}", where, remedy))


def update_command(test: str, mode: str = "") -> str:
    """Return the command that records the baselines of a test; `mode` are the options that say where it runs."""
    return " ".join(word for word in ("pytest", f'"{test}"', mode, "--modal-update-baselines") if word)
