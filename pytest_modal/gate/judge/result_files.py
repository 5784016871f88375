"""Files of per-item results, of whatever tool: baselines, CSV, JSONL, samples of lm-eval, logs of inspect_ai.

No file is executed or unpickled. A row is read as data: ids, inputs and outputs are text of unknown origin.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modal.gate.judge.baseline_file import read_baseline
from pytest_modal.gate.judge.baseline_paths import SUFFIX
from pytest_modal.gate.judge.evaluation import Evaluation, pool
from pytest_modal.gate.judge.rows import Columns, read_rows
from pytest_modal.wording import some, three_parts

_RIGHT_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0}
_METRICS = ("exact_match", "acc", "acc_norm", "pass@1", "correct", "score")

Row = dict[str, Any]


def read_results(path: Path, by: str | None = None) -> Evaluation:
    """Read the results of a file.

    Parameters
    ----------
    by : str, optional
        The column of categories; a file without it has none, if the other has.

    Raises
    ------
    ValueError
        The file is of none of the kinds, or its rows make no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _error(path, f"can't be read: {error}", "name a file of results, in UTF-8") from None
    if path.suffix == ".csv":
        rounds = [list(csv.DictReader(text.splitlines()))]
    elif path.suffix == SUFFIX:
        lines = [_object(path, line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if lines and "schema" in lines[0] and "gate" in lines[0]:
            return _of_baseline(path, str(lines[0]["gate"]))
        rounds = [_lm_eval(path, lines)] if lines and "doc_id" in lines[0] else [lines]
    elif path.suffix == ".json":
        rounds = _inspect(path, _object(path, text, 1))
    else:
        raise _error(path, "is of no known kind", "name a .jsonl, .csv or .json file")
    evaluations = []
    for rows in rounds:
        read = [{**row, "correct": _right(path, row)} for row in rows]
        column = by if by is not None and any(by in row for row in read) else None
        evaluations.append(read_rows(read, Columns(by=column), path.stem, str(path)))
    return pool(evaluations, path.stem, str(path))


def _error(path: Path, what: str, remedy: str) -> ValueError:
    return ValueError(three_parts(f"{path.name} {what}", path, remedy))


def _object(path: Path, text: str, number: int) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        where = Path(f"{path}:{number}")
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


def _right(path: Path, row: Mapping[str, Any]) -> object:
    """Return whether a row is right as a number, however the file says it."""
    if "correct" not in row:
        raise _error(
            path, f"has no column 'correct', only {some(row, 20)}", "add it: true, false, or a share in [0, 1]"
        )
    value = row["correct"]
    if not isinstance(value, str):
        return value
    word = value.strip().lower()
    try:
        return _RIGHT_WORDS[word] if word in _RIGHT_WORDS else float(word)
    except ValueError:
        return value


def _lm_eval(path: Path, lines: Sequence[Row]) -> list[Row]:
    """Return the rows of ``samples_*.jsonl`` of lm-eval: of several filters, those of the first."""
    first = lines[0].get("filter")
    chosen = [line for line in lines if line.get("filter") == first]
    named = [name for name in lines[0].get("metrics") or [] if isinstance(name, str)]
    metric = next((name for name in [*named, *_METRICS] if name in lines[0]), None)
    if metric is None:
        raise _error(path, "has no metric that is known", f"use one of {', '.join(_METRICS)}")
    rows = []
    for line in chosen:
        doc = line.get("doc") if isinstance(line.get("doc"), dict) else {}
        answers = line.get("filtered_resps")
        output = answers[0] if isinstance(answers, list) and answers else answers
        prompt = line.get("prompt_hash") or line.get("doc_hash")
        rows.append(
            {**(doc or {}), "id": line["doc_id"], "correct": line.get(metric), "output": output, "input": prompt}
        )
    return rows


def _inspect(path: Path, log: Row) -> list[list[Row]]:
    """Return the rows of a log of inspect_ai, one list an epoch; of several scorers, those of the first."""
    samples = log.get("samples")
    if not isinstance(samples, list):
        raise _error(path, "has no samples", "write the log of inspect_ai as JSON: inspect log dump")
    epochs: dict[int, list[Row]] = defaultdict(list)
    for sample in samples:
        scores = sample.get("scores") or {}
        score = next(iter(scores.values()), None) or {}
        metadata = sample.get("metadata") if isinstance(sample.get("metadata"), dict) else {}
        row = {
            **(metadata or {}),
            "id": sample.get("id"),
            "correct": score.get("value"),
            "output": score.get("answer"),
            "input": sample.get("input"),
        }
        epochs[int(sample.get("epoch") or 1)].append(row)
    return [epochs[number] for number in sorted(epochs)]
