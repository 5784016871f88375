"""Differences between two CSVs: columns, numbers of rows, and the first rows that differ."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

SHOWN, CELLS = 3, 4  # rows, and cells of one
_LONGEST = 60  # characters of a cell


@dataclass(frozen=True)
class Cell:
    """A cell that differs."""

    column: str
    was: str
    now: str


@dataclass(frozen=True)
class Row:
    """A row that differs: its id, where rows have one, or its number from 1, and its first cells that do."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TableChange:
    """How two tables differ.

    Attributes
    ----------
    lengths : tuple of int
        Numbers of rows.
    only_before, only_after : tuple of str
        Columns that one of them has.
    columns : tuple of str
        Columns of both in which a cell differs.
    differing : int
        Rows of both in which one does.
    rows : tuple of Row
        The first of them.
    """

    lengths: tuple[int, int]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    columns: tuple[str, ...]
    differing: int
    rows: tuple[Row, ...]


def table_change(was: str, now: str) -> TableChange:
    """Return how two CSVs differ. Rows are paired by the column `id`, where that tells them apart, or by their place.

    Raises
    ------
    ValueError
        One of them is no table.
    """
    (columns, before), (new_columns, after) = _read(was), _read(now)
    shared = [name for name in columns if name in new_columns]
    ones, twos = _by_id(columns, before), _by_id(new_columns, after)
    if ones is None or twos is None:
        ones, twos = ({f"{n:,}": row for n, row in enumerate(rows, 1)} for rows in (before, after))
    places = [(name, columns.index(name), new_columns.index(name)) for name in shared]
    found, touched, differing = list[Row](), set[str](), 0
    for key, row in ones.items():
        other = twos.get(key)
        if other is None or (row == other and columns == new_columns):
            continue
        cells = [Cell(name, _cut(row[i]), _cut(other[j])) for name, i, j in places if row[i] != other[j]]
        touched |= {cell.column for cell in cells}
        differing += bool(cells)
        if cells and len(found) < SHOWN:
            found.append(Row(_cut(key), tuple(cells[:CELLS])))
    return TableChange(
        lengths=(len(before), len(after)),
        only_before=tuple(name for name in columns if name not in shared),
        only_after=tuple(name for name in new_columns if name not in shared),
        columns=tuple(name for name in shared if name in touched),
        differing=differing,
        rows=tuple(found),
    )


def _read(text: str) -> tuple[list[str], list[list[str]]]:
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError):
        raise ValueError("it is not a table") from None
    if any(len(row) != len(header) for row in rows):
        raise ValueError("it is not a table")
    return header, rows


def _by_id(columns: list[str], rows: list[list[str]]) -> dict[str, list[str]] | None:
    if "id" not in columns:
        return None
    at = columns.index("id")
    found = {row[at]: row for row in rows}
    return found if len(found) == len(rows) else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
