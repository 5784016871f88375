"""Files of per-item results, of whatever tool: baselines, CSV, JSONL, logs of lm-eval and inspect_ai.

No file is executed or unpickled. A row is read as data: ids, inputs and outputs are text of unknown origin.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_modal.committed import read_regular
from pytest_modal.gate.judge.baseline_file import read_baseline
from pytest_modal.gate.judge.baseline_paths import SUFFIX
from pytest_modal.gate.judge.evaluation import Evaluation, pool
from pytest_modal.gate.judge.log_files import (
    INSPECT,
    LINKS,
    MOST_BYTES,
    Log,
    Row,
    file_error,
    is_lm_eval,
    read_inspect,
    read_inspect_archive,
    read_lm_eval,
    why_not,
)
from pytest_modal.gate.judge.rows import Columns, read_rows
from pytest_modal.wording import some, three_parts

KINDS = (SUFFIX, ".csv", ".json", INSPECT)
_CORRECT = Columns.correct
_RIGHT_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0}


@dataclass(frozen=True)
class Results:
    """The results of a file, and a note on what of it was read, if there was a choice."""

    evaluation: Evaluation
    note: str | None = None


def read_results(path: Path, by: str | None = None, correct: str | None = None) -> Results:
    """Read the results of a file.

    Parameters
    ----------
    by : str, optional
        The column of categories; a file without it has none, if the other has.
    correct : str, optional
        The column, metric or scorer that says whether an item is right.

    Raises
    ------
    ValueError
        The file is of none of the kinds, or its rows make no sense.
    """
    if path.suffix not in KINDS:
        raise file_error(path, "is of no known kind", f"name a file that ends in {', '.join(KINDS)}")
    if path.suffix == INSPECT:
        log = read_inspect_archive(path, correct)
    else:
        text = _text(path)
        if path.suffix == ".csv":
            log = Log([list(csv.DictReader(io.StringIO(text, newline="")))], correct or _CORRECT)
        elif path.suffix == SUFFIX:
            lines = _lines(path, text)
            if lines and "schema" in lines[0] and "gate" in lines[0]:
                return Results(_of_baseline(path, str(lines[0]["gate"])))
            log = read_lm_eval(path, lines, correct) if is_lm_eval(lines) else Log([lines], correct or _CORRECT)
        else:
            log = read_inspect(path, _object(path, text, 1), correct)
    evaluations = [_evaluation(path, rows, log.correct, by) for rows in log.rounds]
    return Results(pool(evaluations, path.name, str(path)), log.note)


def _text(path: Path) -> str:
    try:
        raw = io.BytesIO(read_regular(path, MOST_BYTES, LINKS))
        return io.TextIOWrapper(raw, encoding="utf-8-sig").read()
    except (OSError, UnicodeDecodeError) as error:
        raise file_error(path, f"can't be read: {why_not(error)}", "name a file of results, in UTF-8") from None


def _lines(path: Path, text: str) -> list[Row]:
    # Only LF ends a line: other separators of lines may stand in the text of a model.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [_object(path, line, number) for number, line in lines]


def _object(path: Path, text: str, number: int) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        where = f"{path}:{number}"
        raise ValueError(three_parts(f"{path.name} has a line that is not a JSON object", where, "repair the file"))
    return value


def _of_baseline(path: Path, gate: str) -> Evaluation:
    baseline = read_baseline(path, gate, gate)
    return Evaluation(
        ids=baseline.ids,
        results=baseline.results,
        digests=baseline.digests,
        inputs=(None,) * len(baseline.ids),
        outputs=baseline.outputs,
    )


def _evaluation(path: Path, rows: Sequence[Row], correct: str, by: str | None) -> Evaluation:
    if rows and not any(correct in row for row in rows):
        what = f"has no column {correct!r}, only {some(rows[0], 20)}"
        raise file_error(path, what, "name the column that says whether an item is right, --correct COLUMN")
    read = [{**row, _CORRECT: _right(row.get(correct))} for row in rows]
    _check(path, read, correct)
    column = by if by is not None and any(by in row for row in read) else None
    evaluation = read_rows(read, Columns(by=column), path.name, str(path))
    if not any("shown" in row for row in read):
        return evaluation
    shown = {str(row["id"]): row.get("shown") for row in read}
    return replace(evaluation, inputs=tuple(shown[each] for each in evaluation.ids))


def _right(value: object) -> object:
    """Return whether an item is right as a number, however the file says it."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    if word in _RIGHT_WORDS:
        return _RIGHT_WORDS[word]
    try:
        return float(word)
    except ValueError:
        return value


def _check(path: Path, rows: Sequence[Mapping[str, Any]], correct: str) -> None:
    """Refuse results that say of an item neither that it is right nor how right.

    Raises
    ------
    ValueError
        They are missing, of another kind, or outside [0, 1].
    """
    values = [row[_CORRECT] for row in rows]
    if set(map(type, values)) <= {bool}:
        return
    missing = [row.get("id") for row, value in zip(rows, values, strict=True) if value is None or value == ""]
    if missing:
        what = f"has no {correct!r} for {len(missing):,} of {len(rows):,} items: {some(missing)}"
        raise file_error(path, what, "finish the evaluation, or remove these items from the file")
    for row, value in zip(rows, values, strict=True):
        if isinstance(value, Mapping):
            what = f"has several values as {correct!r} of item {row.get('id')!r}: {some(value)}"
            raise file_error(path, what, f"name one of them: --correct {next(iter(value), 'NAME')}")
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            what = f"has {value!r} as {correct!r} of item {row.get('id')!r}, which is no share in [0, 1]"
            raise file_error(path, what, "name another column, --correct COLUMN: true, false, or a share that is right")
