"""Previews of CSV files: the first rows, and of each column its type, its range and a sparkline."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from pytest_modal.committed import open_regular
from pytest_modal.report.html.text import cut
from pytest_modal.report.numbers import number

ROWS, COLUMNS = 6, 12  # shown
MOST_ROWS, MOST_BYTES = 5_000, 4 << 20  # read
MOST_DIGESTED = 64 << 20  # bytes of a file that is compared with the digest in the record
_CELL, _POINTS = 120, 80
_SHORT = 8  # characters of a number that is shown as it is
WIDTH, HEIGHT = 100, 24  # of a sparkline


@dataclass(frozen=True)
class Column:
    """A column; `points` is the sparkline of numbers, empty without."""

    name: str
    kind: str
    points: str
    range: str
    said: str

    @property
    def is_number(self) -> bool:
        """Whether it is read from the right."""
        return self.kind in ("integer", "number")

    def shown(self, cell: str) -> str:
        """Return a cell as it is shown: of long numbers the first six digits."""
        if self.kind != "number" or len(cell.strip()) <= _SHORT:
            return cell
        try:
            rounded = f"{float(cell):.6g}"
        except ValueError:
            return cell
        return rounded if len(rounded) < len(cell.strip()) else cell


@dataclass(frozen=True)
class Table:
    """The beginning of a table; `rows_read` and `is_whole` say how much of it was read."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    columns_in_all: int
    rows_read: int
    is_whole: bool

    @property
    def extent(self) -> str:
        """How large it is."""
        rows = f"{self.rows_read:,} row{'' if self.rows_read == 1 else 's'}"
        columns = f"{self.columns_in_all:,} column{'' if self.columns_in_all == 1 else 's'}"
        return f"{rows if self.is_whole else f'more than {rows}'}, {columns}"


def preview(path: Path, *, compressed: bool, digest: str = "") -> Table:
    """Return the beginning of a CSV file.

    Raises
    ------
    OSError, ValueError
        It can't be read, is not a table, or is not the file with that digest.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        if digest and os.fstat(stream.fileno()).st_size <= MOST_DIGESTED:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise ValueError("it has changed since the run")
            stream.seek(0)
        try:
            raw = (gzip.GzipFile(fileobj=stream) if compressed else stream).read(MOST_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"it can't be decompressed ({error})") from None
    is_whole = len(raw) <= MOST_BYTES
    try:
        text = raw[:MOST_BYTES].decode("utf-8-sig", "strict" if is_whole else "ignore")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    return _table(text, is_whole=is_whole)


def _table(text: str, *, is_whole: bool) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        names = next(reader, [])
        rows = list[list[str]]()
        for row in reader:
            if len(rows) == MOST_ROWS:
                is_whole = False
                break
            if row:
                rows.append(row)
    except csv.Error as error:
        raise ValueError(f"it is not a CSV file ({error})") from None
    if not names:
        raise ValueError("it is empty")
    if not is_whole and rows:
        rows.pop()  # the end of what was read may be half a row
    columns = [_column(name, [row[at] for row in rows if at < len(row)]) for at, name in enumerate(names[:COLUMNS])]
    shown = [tuple(cut(cell, _CELL) for cell in [*row, *[""] * len(names)][: len(columns)]) for row in rows[:ROWS]]
    return Table(tuple(columns), tuple(shown), len(names), len(rows), is_whole)


def _column(name: str, cells: list[str]) -> Column:
    filled = [cell.strip() for cell in cells if cell.strip()]
    kind, values = _kind(filled)
    shown = cut(name, _CELL) or "(no name)"
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Column(shown, kind, "", "", "")
    low, high = min(finite), max(finite)
    span = number(low) if low == high else f"{number(low)} to {number(high)}"
    said = f"{shown} over {len(finite):,} rows: {span}"
    return Column(shown, kind, _sparkline(finite, low, high) if len(finite) > 1 else "", span, said)


def _kind(filled: list[str]) -> tuple[str, list[float]]:
    if not filled:
        return "empty", []
    words = ("true", "false")
    if filled[0].lower() in words and all(cell.lower() in words for cell in filled):
        return "true or false", []
    try:
        values = [float(cell) for cell in filled]
    except ValueError:
        return "text", []
    is_integer = all(cell.lstrip("+-").isdecimal() for cell in filled)
    return "integer" if is_integer else "number", values


def _sparkline(values: list[float], low: float, high: float) -> str:
    """Return the points of a line; of many values the extremes of each piece, so that no peak is lost."""
    if len(values) > 2 * _POINTS:
        step = len(values) / _POINTS
        pieces = [values[int(at * step) : int((at + 1) * step)] for at in range(_POINTS)]
        values = [extreme for piece in pieces for extreme in (min(piece), max(piece))]
    # Halves, so that the distance of two large numbers stays finite.
    span = (high / 2 - low / 2) or 1.0
    last = len(values) - 1
    heights = [(high / 2 - value / 2) / span if high > low else 0.5 for value in values]
    return " ".join(f"{at / last * WIDTH:.1f},{2 + height * (HEIGHT - 4):.1f}" for at, height in enumerate(heights))
