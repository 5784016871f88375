"""Files of per-item results, by which two runs can be compared: ``items/<digest>.json`` beside the records of runs."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TypedDict

import numpy as np

from pytest_modal.committed import read_regular
from pytest_modal.gate.entries import shortened
from pytest_modal.gate.judge.evaluation import Evaluation
from pytest_modal.local.output_dir import ITEMS
from pytest_modal.remote.data import CorruptDataError
from pytest_modal.store.files import write_text
from pytest_modal.store.shapes import check_shape
from pytest_modal.wording import three_parts

_LONGEST_TEXT = 1_000  # of an input or an output: many runs are kept


class _Items(TypedDict):
    """An `Evaluation` as JSON: `results` has a row for each id, with a column for each round."""

    schema: int
    ids: list[str]
    results: list[list[float]]
    digests: list[str]
    inputs: list[str | None]
    outputs: list[str | None]
    clusters: list[str] | None
    categories: list[str] | None
    score: bool


def write_items(runs: Path, evaluation: Evaluation) -> str:
    """Write the results of an evaluation below the directory of the runs, and return their digest.

    Raises
    ------
    OSError
        They can't be written.
    """
    clusters, categories = evaluation.clusters, evaluation.categories
    items = _Items(
        schema=1,
        ids=[*evaluation.ids],
        results=np.asarray(evaluation.results, float).tolist(),
        digests=[*evaluation.digests],
        inputs=[_text(each) for each in evaluation.inputs],
        outputs=[_text(each) for each in evaluation.outputs],
        clusters=None if clusters is None else [*clusters],
        categories=None if categories is None else [*categories],
        score=evaluation.score,
    )
    text = json.dumps(items, separators=(",", ":")) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    path = items_path(runs, digest)
    try:
        os.utime(path)  # it is as new as the run that names it
    except FileNotFoundError:
        write_text(path, text)
    return digest


def items_path(runs: Path, digest: str) -> Path:
    """Return the file of per-item results."""
    return runs / ITEMS / f"{digest}.json"


def read_items(runs: Path, digest: str) -> Evaluation:
    """Read per-item results.

    Raises
    ------
    ValueError
        The file is missing or damaged; the message says which, and what to do.
    """
    path = items_path(runs, digest)
    try:
        text = read_regular(path)
        if hashlib.sha256(text).hexdigest()[:32] != digest:
            raise CorruptDataError("its content is not what its name says")
        items: _Items = check_shape(json.loads(text), _Items, "items")
    except OSError as error:
        what = f"per-item results of a gate can't be read: {error.strerror}"
        remedy = "compare runs that still have them; modal_runs says how many do"
        raise ValueError(three_parts(what, path, remedy)) from None
    except (ValueError, RecursionError) as error:
        what = f"per-item results of a gate are damaged: {error}"
        raise ValueError(three_parts(what, path, "delete the file, or restore it")) from None
    return Evaluation(
        ids=tuple(items["ids"]),
        results=np.asarray(items["results"], float).reshape(len(items["ids"]), -1),
        digests=tuple(items["digests"]),
        inputs=tuple(items["inputs"]),
        outputs=tuple(items["outputs"]),
        clusters=None if items["clusters"] is None else tuple(items["clusters"]),
        categories=None if items["categories"] is None else tuple(items["categories"]),
        score=items["score"],
    )


def _text(text: str | None) -> str | None:
    return None if text is None else shortened(text, _LONGEST_TEXT)
