"""Rows of a test, read with every check, and rounds of them pooled.

No verdict on bad data: whatever is missing, duplicate or out of range is an error that names the items.
"""

from __future__ import annotations

import hashlib
import json
import numbers
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from pytest_modal.gate.judge.intervals import Floats
from pytest_modal.wording import count, some, three_parts

T = TypeVar("T")

INPUT_NAMES = ("input", "prompt", "question", "problem")  # of the column of inputs, where none is named
DIGEST = 6  # hexadecimal digits: a changed input is missed once in 16 million


@dataclass(frozen=True)
class Columns:
    """Names of the columns that the gate reads. Rows may lack `input` and `output` under their usual names.

    Where `score` is named, it is compared instead of `correct`.

    Where the rows have no "input", the first of `INPUT_NAMES` that they have is taken for it.
    """

    id: str = "id"
    correct: str = "correct"
    input: str = "input"
    output: str = "output"
    cluster: str | None = None
    by: str | None = None
    score: str | None = None

    @property
    def value(self) -> str:
        """The column that is compared."""
        return self.correct if self.score is None else self.score


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


def input_digest(value: object) -> str:
    """Return the digest of one input: equal for equal data, whether it came as numpy or plain Python.

    Raises
    ------
    TypeError
        `value` is not JSON, numpy or bytes.
    """
    return hashlib.sha256(_json(value).encode()).hexdigest()[:DIGEST]


def read_rows(rows: object, columns: Columns, gate: str, where: str) -> Evaluation:
    """Read the rows of one round.

    Parameters
    ----------
    rows : list of dict or pandas.DataFrame
        One row per item. ``correct`` is a bool, 0 or 1, or a score in [0, 1].
    where : str
        The test, for messages.

    Raises
    ------
    ValueError
        No rows, a missing column, missing or duplicate ids, no value or one outside [0, 1] in ``correct``,
        a score that is not finite, a missing cluster or category, an input that can't be compared. The message names
        the items.
    """
    reader = _Reader(_with_input(rows, columns), gate, where)
    columns = reader.columns
    table = reader.table(rows)
    ids = reader.ids(table[columns.id])
    scores = reader.scores(ids, table[columns.value])
    digests, inputs = reader.inputs(ids, table.get(columns.input))
    outputs = reader.outputs(ids, table.get(columns.output))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    groups: dict[str, tuple[str, ...] | None] = {"clusters": None, "categories": None}
    if columns.cluster is not None:
        named = reader.clusters(ids, table[columns.cluster])
        groups["clusters"] = tuple(named[i] for i in order)
    if columns.by is not None:
        named = reader.categories(ids, table[columns.by])
        groups["categories"] = tuple(named[i] for i in order)
    return Evaluation(
        ids=tuple(ids[i] for i in order),
        results=_recordable(scores[order], columns.score is not None)[:, None],
        digests=tuple(digests[i] for i in order),
        inputs=tuple(inputs[i] for i in order),
        outputs=tuple(outputs[i] for i in order),
        score=columns.score is not None,
        **groups,
    )


def _recordable(values: Floats, score: bool) -> Floats:
    """Return values to the digits that baselines keep, so that an unchanged model scores as it did.

    Those are four decimals of shares, and six digits of other scores, which are of any size.
    """
    if not score:
        return np.round(values, 4)
    size = 10.0 ** np.floor(np.log10(np.where(values == 0, 1, np.abs(values))))
    return np.round(values / size, 5) * size


def _with_input(rows: object, columns: Columns) -> Columns:
    """Return the columns with the name under which the rows have their inputs."""
    if columns.input != Columns.input:
        return columns
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        names = set(rows.columns)
    else:
        mappings = rows if isinstance(rows, list | tuple) else []
        names = {name for row in mappings if isinstance(row, Mapping) for name in row}
    taken = {columns.id, columns.value, columns.output, columns.cluster, columns.by}
    found = [name for name in INPUT_NAMES if name in names and name not in taken]
    return replace(columns, input=found[0]) if found else columns


def pool(rounds: Sequence[Evaluation], gate: str, where: str) -> Evaluation:
    """Add up rounds of the same items.

    Raises
    ------
    ValueError
        The rounds differ in their items, inputs or clusters: they are not repeats of one another.
    """
    first = rounds[0]
    for number, other in enumerate(rounds[1:], 2):
        odd = sorted(set(first.ids) ^ set(other.ids))
        if not odd:
            one, two = (
                zip(r.ids, r.digests, r.clusters or r.ids, r.categories or r.ids, strict=True) for r in (first, other)
            )
            odd = [mine[0] for mine, theirs in zip(one, two, strict=True) if mine != theirs]
        if odd:
            what = f"accuracy_gate {gate!r}: round {number} has other items, inputs or clusters than the first"
            remedy = "make the items from fixed data or a fixed seed: the rounds of a gate repeat the same items"
            raise ValueError(three_parts(f"{what}: {some(odd)}", where, remedy))
    outputs = [Counter(texts).most_common(1)[0][0] for texts in zip(*(each.outputs for each in rounds), strict=True)]
    return replace(first, results=np.hstack([each.results for each in rounds]), outputs=tuple(outputs))


@dataclass(frozen=True)
class _Reader:
    """Reads one column after the other, with errors for what is wrong with each."""

    columns: Columns
    gate: str
    where: str

    def error(self, what: str, remedy: str) -> ValueError:
        return ValueError(three_parts(f"accuracy_gate {self.gate!r}: {what}", self.where, remedy))

    def table(self, rows: object) -> dict[str, list[Any]]:
        """Return the columns that are needed."""
        wanted = [self.columns.id, self.columns.value, self.columns.input, self.columns.output]
        wanted += [name for name in (self.columns.cluster, self.columns.by) if name is not None]
        needed = {self.columns.id, self.columns.value, self.columns.cluster, self.columns.by}
        optional = {Columns.input, Columns.output} - needed
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(rows, pandas.DataFrame):
            names, length = list(rows.columns), len(rows)
        elif isinstance(rows, list | tuple):
            for index, row in enumerate(rows):
                if not isinstance(row, Mapping):
                    raise self.error(f"rows[{index}] is of type {type(row).__name__}, not dict", "pass a list of dicts")
            names, length = list({name: None for row in rows for name in row}), len(rows)
        else:
            kind = f"{type(rows).__module__}.{type(rows).__qualname__}".removeprefix("builtins.")
            raise self.error(f"the rows are of type {kind}", "pass a list of dicts, one per item, or a DataFrame")
        if not length:
            raise self.error("there are no rows", "pass one row per item: a gate without items can't pass")
        if double := [name for name, number in Counter(map(str, names)).items() if number > 1 and name in wanted]:
            raise self.error(f"the table has the columns {some(double)} more than once", "keep one of each")
        if missing := [name for name in wanted if name not in names and name not in optional]:
            keyword = next(word for word, name in vars(self.columns).items() if name == missing[0])
            raise self.error(
                f"the rows have no column {missing[0]!r}, only {some(names, 20)}",
                f'name the column that holds it, {keyword}="...", or add it',
            )
        present = [name for name in wanted if name in names]
        if isinstance(rows, list | tuple):
            return {name: [row.get(name) for row in rows] for name in present}
        return {name: rows[name].tolist() for name in present}

    def ids(self, values: Sequence[object]) -> list[str]:
        """Return the ids as text: whole numbers and text may name an item."""
        missing = [index for index, value in enumerate(values) if _absent(value) or value == ""]
        if missing:
            rows = ", ".join(f"rows[{index}]" for index in missing[:5])
            raise self.error(
                f"{count(len(missing), 'row')} without an id: {rows}", "give every item an id that never changes"
            )
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, str | int | numbers.Integral):
                raise self.error(
                    f"rows[{index}] has the id {value!r}, a {type(value).__name__}", "use str or int as ids"
                )
        ids = [str(value) for value in values]
        if len(set(ids)) < len(ids):
            double = [each for each, number in Counter(ids).items() if number > 1]
            raise self.error(
                f"{count(len(double), 'duplicate id')}: {some(double)}",
                "pass one row per item, and average repeated samples of an item into a score",
            )
        return ids

    def scores(self, ids: Sequence[str], values: Sequence[Any]) -> Floats:
        """Return whether each item is right, or how right, or its score."""
        column = self.columns.value
        if missing := [each for each, value in zip(ids, values, strict=True) if _absent(value)]:
            raise self.error(
                f"{column!r} is missing for {count(len(missing), 'item')}: {some(missing)}",
                f"set {column!r} in every row, for an item without an answer usually to False"
                if self.columns.score is None
                else f"set {column!r} in every row to a finite number, for an item that failed to the worst score",
            )
        kinds = (numbers.Real, np.bool_)
        wrong = {kind for kind in map(type, values) if not issubclass(kind, kinds)}
        if odd := [each for each, value in zip(ids, values, strict=True) if type(value) in wrong]:
            example = values[ids.index(odd[0])]
            raise self.error(
                f"{column!r} is neither a bool nor a number for {some(odd)}: {example!r}",
                f'compare first: row["{column}"] = row["output"] == row["expected"]',
            )
        scores = np.array([float(value) for value in values])
        if self.columns.score is not None:
            if infinite := [ids[index] for index in np.flatnonzero(~np.isfinite(scores)).tolist()]:
                raise self.error(
                    f"{column!r} is not finite for {some(infinite)}: {values[ids.index(infinite[0])]!r}",
                    "cap the scores, or look at why these items have none",
                )
            return scores
        if outside := [ids[index] for index in np.flatnonzero((scores < 0) | (scores > 1)).tolist()]:
            raise self.error(
                f"{column!r} is outside [0, 1] for {some(outside)}: {values[ids.index(outside[0])]!r}",
                f'scale scores so that 0 is worst and 1 is best, or pass score="{column}" for any real numbers',
            )
        return scores

    def inputs(self, ids: Sequence[str], values: Sequence[object] | None) -> tuple[list[str], list[str | None]]:
        """Return the digest and the text of each input."""
        if values is None:
            return [""] * len(ids), [None] * len(ids)
        return self._each(ids, values, self.columns.input, _digest), self._each(ids, values, self.columns.input, _text)

    def outputs(self, ids: Sequence[str], values: Sequence[object] | None) -> list[str | None]:
        """Return the outputs of the model, as text."""
        return [None] * len(ids) if values is None else self._each(ids, values, self.columns.output, _text)

    def _each(self, ids: Sequence[str], values: Sequence[object], column: str, read: Callable[[object], T]) -> list[T]:
        result = []
        for each, value in zip(ids, values, strict=True):
            try:
                result.append(read(value))
            except (TypeError, ValueError) as error:
                raise self.error(
                    f"{column!r} of item {each!r} can't be recorded: {error}",
                    "use str, numbers, lists, dicts with str keys, or arrays",
                ) from None
        return result

    def _groups(self, ids: Sequence[str], values: Sequence[object], column: str | None, remedy: str) -> list[str]:
        if missing := [each for each, value in zip(ids, values, strict=True) if _absent(value)]:
            raise self.error(f"{column!r} is missing for {count(len(missing), 'item')}: {some(missing)}", remedy)
        return [str(value) for value in values]

    def categories(self, ids: Sequence[str], values: Sequence[object]) -> list[str]:
        """Return the category of each item, as text."""
        categories = self._groups(ids, values, self.columns.by, "name a category for every item")
        if len(set(categories)) == len(categories) > 1:
            raise self.error(
                f"every item is the only one of its category, by={self.columns.by!r}",
                "name a column that many items share, such as their subject",
            )
        return categories

    def clusters(self, ids: Sequence[str], values: Sequence[object]) -> list[str]:
        """Return the cluster of each item, as text."""
        remedy = "name a cluster for every item; an item that belongs to no other is its own cluster"
        clusters = self._groups(ids, values, self.columns.cluster, remedy)
        if len(set(clusters)) < 2:
            raise self.error(
                f"all items are in one cluster, {clusters[0]!r}", "use at least two clusters, or remove cluster="
            )
        return clusters


def _absent(value: object) -> bool:
    if type(value) in (str, bool, int):  # nearly all: the checks below are slow
        return False
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' own, which can't be compared
        return True
    return isinstance(value, numbers.Real) and bool(value != value)


def _digest(value: object) -> str:
    return "" if _absent(value) else input_digest(value)


def _text(value: Any) -> str | None:
    if _absent(value):
        return None
    return str(value) if isinstance(value, str) else _json(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufSU":
        return value.tolist() if value.dtype.kind != "S" else _plain(value.tobytes())
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} is not data that can be compared")


# Made once: there may be 100,000 items.
_json = json.JSONEncoder(sort_keys=True, default=_plain).encode
