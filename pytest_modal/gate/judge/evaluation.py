"""Evaluations: the results of every item in every round, and rounds pooled."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.wording import some, three_parts


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The results of one round or of several, by item, sorted by id.

    Attributes
    ----------
    ids : tuple of str, length n
    results : array, shape (n, rounds)
        Whether each item was right in each round, or how right, or its score.
    digests : tuple of str
        Digest of each input; empty where there is none.
    inputs, outputs : tuple of (str or None)
        As text, for people: of several rounds, the most frequent output, the earliest of equally frequent ones.
    clusters, categories : tuple of str or None
    score : bool
        Whether the results are any real numbers, not shares of right answers.
    """

    ids: tuple[str, ...]
    results: Floats
    digests: tuple[str, ...]
    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    clusters: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    score: bool = False

    @property
    def n(self) -> int:
        """Number of items."""
        return len(self.ids)

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return int(self.results.shape[1])

    @property
    def sums(self) -> Floats:
        """Right answers, or the sum of scores, over the rounds."""
        return np.asarray(self.results.sum(axis=1), float)

    @property
    def accuracy(self) -> float:
        """Share of right answers, or mean score, over all items and rounds."""
        return float(self.results.mean())

    def after_the_first_round(self) -> Evaluation:
        """Return the fresh rounds alone."""
        return replace(self, results=self.results[:, 1:])

    @property
    def dataset(self) -> str:
        """Digest of the items: their ids and inputs."""
        return dataset_digest(self.ids, self.digests)


def dataset_digest(ids: Sequence[str], digests: Sequence[str]) -> str:
    """Return a digest of ids, which are sorted, and of their inputs."""
    return hashlib.sha256(json.dumps([list(ids), list(digests)]).encode()).hexdigest()[:16]


def pool(rounds: Sequence[Evaluation], subject: str, where: str) -> Evaluation:
    """Add up rounds of the same items.

    Raises
    ------
    ValueError
        The rounds differ in their items, inputs or clusters: they are not repeats of one another.
    """
    first = rounds[0]
    if len(rounds) == 1:
        return first
    for number, other in enumerate(rounds[1:], 2):
        odd = sorted(set(first.ids) ^ set(other.ids))
        if not odd:
            one, two = (
                zip(r.ids, r.digests, r.clusters or r.ids, r.categories or r.ids, strict=True) for r in (first, other)
            )
            odd = [mine[0] for mine, theirs in zip(one, two, strict=True) if mine != theirs]
        if odd:
            what = f"{subject}: round {number} has other items, inputs or clusters than the first"
            remedy = "make the items from fixed data or a fixed seed: the rounds of a gate repeat the same items"
            raise ValueError(three_parts(f"{what}: {some(odd)}", where, remedy))
    outputs = map(_most_frequent, zip(*(each.outputs for each in rounds), strict=True))
    return replace(first, results=np.hstack([each.results for each in rounds]), outputs=tuple(outputs))


def _most_frequent(texts: Sequence[str | None]) -> str | None:
    if texts.count(texts[0]) == len(texts):
        return texts[0]
    return Counter(texts).most_common(1)[0][0]
