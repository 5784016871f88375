"""Rows of a test, read with every check.

No verdict on bad data: whatever is missing, duplicate or out of range is an error that names the items.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import numbers
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, TypeVar

import numpy as np

from pytest_modal.gate.judge.evaluation import Evaluation
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


def input_digest(value: object) -> str:
    """Return the digest of one input: equal for equal data, whether it came as numpy or plain Python.

    Raises
    ------
    TypeError
        `value` is not JSON, numpy or bytes.
    """
    return _digest_of(_json(value))


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST]


def read_rows(rows: object, columns: Columns, subject: str, where: str) -> Evaluation:
    """Read the rows of one round.

    Parameters
    ----------
    rows : list of dict or pandas.DataFrame
        One row per item. ``correct`` is a bool, 0 or 1, or a score in [0, 1].
    subject, where : str
        What has the rows, such as "accuracy_gate 'gsm8k'", and the test or file, for messages.

    Raises
    ------
    ValueError
        No rows, a missing column, missing or duplicate ids, no value or one outside [0, 1] in ``correct``,
        a score that is not finite, a missing cluster or category, an input that can't be compared. The message names
        the items.
    """
    reader = _Reader(_with_input(rows, columns), subject, where)
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
        names = set(itertools.chain.from_iterable(row for row in mappings if _is_mapping(row)))
    taken = {columns.id, columns.value, columns.output, columns.cluster, columns.by}
    found = [name for name in INPUT_NAMES if name in names and name not in taken]
    return replace(columns, input=found[0]) if found else columns


@dataclass(frozen=True)
class _Reader:
    """Reads one column after the other, with errors for what is wrong with each."""

    columns: Columns
    subject: str
    where: str

    def error(self, what: str, remedy: str) -> ValueError:
        return ValueError(three_parts(f"{self.subject}: {what}", self.where, remedy))

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
                if not _is_mapping(row):
                    raise self.error(f"rows[{index}] is of type {type(row).__name__}, not dict", "pass a list of dicts")
            names, length = list(dict.fromkeys(itertools.chain.from_iterable(rows))), len(rows)
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
        kinds = set(map(type, values))
        missing = []
        if not kinds <= {int, str} or "" in values:
            missing = [index for index, value in enumerate(values) if _absent(value) or value == ""]
        if missing:
            rows = ", ".join(f"rows[{index}]" for index in missing[:5])
            raise self.error(
                f"{count(len(missing), 'row')} without an id: {rows}", "give every item an id that never changes"
            )
        for index, value in enumerate(() if kinds <= {int, str} else values):
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
        types = set(map(type, values))
        plain = types <= {bool, int}
        if missing := [] if plain else [each for each, value in zip(ids, values, strict=True) if _absent(value)]:
            raise self.error(
                f"{column!r} is missing for {count(len(missing), 'item')}: {some(missing)}",
                f"set {column!r} in every row, for an item without an answer usually to False"
                if self.columns.score is None
                else f"set {column!r} in every row to a finite number, for an item that failed to the worst score",
            )
        kinds = (numbers.Real, np.bool_)
        wrong = {kind for kind in types if not issubclass(kind, kinds)}
        if wrong and (odd := [each for each, value in zip(ids, values, strict=True) if type(value) in wrong]):
            example = values[ids.index(odd[0])]
            raise self.error(
                f"{column!r} is neither a bool nor a number for {some(odd)}: {example!r}",
                f'compare first: row["{column}"] = row["output"] == row["expected"]',
            )
        scores = np.array(values if plain else [float(value) for value in values], float)
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
        if _is_text(values):
            return [_digest_of(_encode(value)) for value in values], [*values]
        return self._each(ids, values, self.columns.input, _digest), self._each(ids, values, self.columns.input, _text)

    def outputs(self, ids: Sequence[str], values: Sequence[object] | None) -> list[str | None]:
        """Return the outputs of the model, as text."""
        if values is None:
            return [None] * len(ids)
        return [*values] if _is_text(values) else self._each(ids, values, self.columns.output, _text)

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


def _is_mapping(row: object) -> bool:
    return type(row) is dict or isinstance(row, Mapping)


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


def _is_text(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    return set(map(type, values)) == {str}


# Made once: there may be 100,000 items. Of text, the encoder's own way is shorter.
_json = json.JSONEncoder(sort_keys=True, default=_plain).encode
_encode = json.encoder.encode_basestring_ascii
