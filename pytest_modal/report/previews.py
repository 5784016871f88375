"""Previews in HTML for reports of other plugins: the first rows of a table, the gates of a test."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from pytest_modal.report.parts import GATE_COLUMNS, figures
from pytest_modal.wording import safe_line

PREVIEWED = 65_536  # characters of a file
_ROWS, _COLUMNS, _CELL = 8, 12, 80


def table_preview(name: str, text: str, *, complete: bool) -> str:
    """Return the first rows of a CSV, from the first characters of its file.

    Parameters
    ----------
    complete : bool
        Whether `text` is the whole file.
    """
    lines = text.splitlines(keepends=True)
    rows = itertools.islice(csv.reader(lines if complete else lines[:-1]), _ROWS + 2)
    try:
        header, *found = [*rows] or [[]]
    except csv.Error as error:
        return f"<p>{_text(name, 300)}: {_text(error, 300)}</p>"
    more = "" if complete and len(found) <= _ROWS else f", the first {min(len(found), _ROWS)} rows"
    more += f", the first {_COLUMNS} of {len(header):,} columns" if len(header) > _COLUMNS else ""
    return _table(f"{_text(name, 300)}{more}", header[:_COLUMNS], (row[:_COLUMNS] for row in found[:_ROWS]))


def gate_preview(gates: Sequence[tuple[str, str, dict[str, Any], Sequence[str]]]) -> str:
    """Return the table of a test's gates, each with its name, verdict, result and notes."""
    table = _table("accuracy gates", GATE_COLUMNS, ((name, verdict, *figures(of)) for name, verdict, of, _ in gates))
    notes = "".join(f"<li>{_text(name)}: {_text(note, 2_000)}</li>" for name, *_, notes in gates for note in notes)
    return f"{table}<ul>{notes}</ul>" if notes else table


def _table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: object, limit: int = _CELL) -> str:
    return escape(safe_line(text, limit))
