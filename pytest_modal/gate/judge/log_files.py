"""Logs of other tools: per-item samples of lm-eval, evaluation logs of inspect_ai."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modal.committed import open_regular
from pytest_modal.gate.judge.rows import INPUT_NAMES
from pytest_modal.wording import some, three_parts

INSPECT = ".eval"
MOST_BYTES = 1 << 31  # of a file of results, and of what an archive holds
LINKS = 0  # followed: whoever compares files has named them
_METRICS = ("exact_match", "acc", "acc_norm", "pass@1")
# The names of logs have their time, and those of inspect_ai an id of 22 characters at the end.
_TIME = re.compile(r"[_-]?\d{4}-\d{2}-\d{2}T[\d.:+-]+(?=[_.]|$)")
_INSPECT_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:+-]+_(?P<task>.+)_[A-Za-z0-9]{22}")

Row = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """The rows of a file, a list for each round.

    Attributes
    ----------
    correct : str
        The key that says whether an item is right.
    note : str or None
        What was read, if there was a choice.
    """

    rounds: Sequence[Sequence[Row]]
    correct: str
    note: str | None = None


def plain_name(path: Path) -> str:
    """Return the name of a file of results without what differs from run to run."""
    if found := _INSPECT_NAME.fullmatch(path.stem):
        return found["task"]
    return _TIME.sub("", path.stem).strip("_") or path.stem


def file_error(path: Path, what: str, remedy: str) -> ValueError:
    """Return the error for a file of results."""
    return ValueError(three_parts(f"{path.name} {what}", path, remedy))


def why_not(error: Exception) -> str:
    """Return why a file can't be read; the error names the file already."""
    return str(getattr(error, "strerror", None) or error)


def _chosen(path: Path, kind: str, names: Sequence[str], wanted: str | None) -> str:
    """Return the metric or scorer that is wanted, or the first."""
    if wanted is not None and wanted not in names:
        raise file_error(
            path, f"has no {kind} {wanted!r}, only {some(names)}", f"name one of them: --correct {names[0]}"
        )
    return wanted if wanted is not None else names[0]


def _note(chosen: str, names: Iterable[str]) -> str:
    others = ", ".join(name for name in names if name != chosen)
    return f"{chosen} (also: {others})" if others else chosen


def is_lm_eval(lines: Sequence[Row]) -> bool:
    """Whether the lines of a file are samples of lm-eval."""
    return bool(lines) and "doc_id" in lines[0]


def read_lm_eval(path: Path, lines: Sequence[Row], correct: str | None) -> Log:
    """Return the rows of ``samples_*.jsonl`` of lm-eval: of several filters, those of the first."""
    filters = [str(name) for name in dict.fromkeys(line.get("filter") for line in lines)]
    named = lines[0].get("metrics")
    metrics = [name for name in (named if isinstance(named, list) else _METRICS) if name in lines[0]]
    if not metrics:
        raise file_error(path, "has no metric that is known", f"it needs one of {', '.join(_METRICS)}")
    metric = _chosen(path, "metric", metrics, correct)
    rows = []
    for line in lines:
        if str(line.get("filter")) != filters[0]:
            continue
        doc = line["doc"] if isinstance(line.get("doc"), dict) else {}
        # The prompt may differ, such as by a chat template: the item is the same.
        item = line.get("doc_hash") or line.get("prompt_hash")
        own = {"id": line["doc_id"], metric: line.get(metric), "input": item}
        rows.append({**doc, **own, "output": _answer(line), "shown": _question(line, doc)})
    note = _note(metric, metrics)
    if len(filters) > 1:
        note += f", filter {_note(filters[0], filters)}"
    return Log([rows], metric, note if len(filters) > 1 or len(metrics) > 1 else None)


def _question(line: Row, doc: Mapping[str, Any]) -> str | None:
    asked = next((doc[name] for name in INPUT_NAMES if isinstance(doc.get(name), str)), None)
    return asked if asked is not None else _argument(line, 0, "arg_0")


def _argument(line: Row, index: int, name: str) -> str | None:
    arguments = line.get("arguments")
    given = arguments.get(f"gen_args_{index}") if isinstance(arguments, dict) else None
    value = given.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, str) else None


def _answer(line: Row) -> object:
    """Return what the model answered: its text, or the choice with the largest likelihood."""
    answers = line.get("filtered_resps")
    if not isinstance(answers, list) or not answers:
        return answers
    likelihoods = []
    with contextlib.suppress(TypeError, ValueError, IndexError, KeyError):
        likelihoods = [float(pair[0]) for pair in answers if not isinstance(pair, str)]
    if len(likelihoods) < 2 or len(likelihoods) < len(answers):
        return answers[0]
    return _argument(line, likelihoods.index(max(likelihoods)), "arg_1") or answers[0]


def read_inspect_archive(path: Path, correct: str | None) -> Log:
    """Return the rows of an ``.eval`` log of inspect_ai, which is a ZIP archive of JSON files."""
    with contextlib.suppress(ImportError):
        # inspect_ai brings it: it teaches zipfile the compression of these logs.
        importlib.import_module("zipfile_zstd")
    try:
        with os.fdopen(open_regular(path, LINKS), "rb") as file, zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20:,} MiB, unpacked")
            names = [each for each in archive.namelist() if each.startswith("samples/") and each.endswith(".json")]
            log = json.loads(archive.read("header.json")) if "header.json" in archive.namelist() else {}
            samples = [json.loads(archive.read(name)) for name in names]
    except NotImplementedError:
        remedy = f"convert it: inspect log convert --to json --output-dir json {path}; or install zipfile-zstd here"
        raise file_error(path, "is compressed in a way that this Python can't read", remedy) from None
    except (OSError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise file_error(path, f"can't be read: {why_not(error)}", "name an intact log of inspect_ai") from None
    return read_inspect(path, {**(log if isinstance(log, dict) else {}), "samples": samples}, correct)


def read_inspect(path: Path, log: Row, correct: str | None) -> Log:
    """Return the rows of a log of inspect_ai, one list an epoch.

    A score of several values is one scorer for each of them. Of several scorers the log's own headline is taken, else
    the first.
    """
    samples = log.get("samples")
    if not (isinstance(samples, list) and samples and all(isinstance(sample, dict) for sample in samples)):
        raise file_error(path, "has no samples", "log the samples: run inspect eval without --no-log-samples")
    scored = [(sample, _scores(sample)) for sample in samples]
    names = list(dict.fromkeys(name for _, scores in scored for name in scores))
    if not names:
        raise file_error(path, "has no scores", "finish the evaluation, or score the log: inspect score")
    scorer = _chosen(path, "score", names, correct or _headline(log, names))
    epochs: dict[int, list[Row]] = defaultdict(list)
    for sample, scores in scored:
        metadata = sample["metadata"] if isinstance(sample.get("metadata"), dict) else {}
        value, answer = scores.get(scorer, (None, None))
        own = {"id": sample.get("id"), scorer: value, "input": _item(sample.get("input"))}
        epochs[int(sample.get("epoch") or 1)].append(
            {**metadata, **own, "output": answer, "shown": _asked(sample.get("input"))}
        )
    note = _note(scorer, names) if len(names) > 1 else None
    return Log([epochs[number] for number in sorted(epochs)], scorer, note)


def _scores(sample: Row) -> dict[str, tuple[object, object]]:
    """Return value and answer of each score."""
    found: dict[str, tuple[object, object]] = {}
    scores = sample["scores"] if isinstance(sample.get("scores"), dict) else {}
    for name, score in scores.items():
        if not isinstance(score, dict):
            continue
        value, answer = score.get("value"), score.get("answer")
        values = value if isinstance(value, dict) else {name: value}
        found |= {key: (each, answer) for key, each in values.items()}
    return found


def _headline(log: Row, names: Sequence[str]) -> str | None:
    results = log["results"] if isinstance(log.get("results"), dict) else {}
    headline = results["headline"] if isinstance(results.get("headline"), dict) else {}
    name = headline.get("score")
    return name if name in names else None


def _item(value: object) -> object:
    """Return an input without the ids of its messages, which are others in each run."""
    if isinstance(value, list):
        return [{**each, "id": None} if isinstance(each, dict) else each for each in value]
    return value


def _asked(value: object) -> str | None:
    """Return the text of an input, which may be a list of messages."""
    if isinstance(value, list):
        texts = [each.get("content") for each in value if isinstance(each, dict)]
        return next((text for text in reversed(texts) if isinstance(text, str)), None)
    return value if isinstance(value, str) else None
