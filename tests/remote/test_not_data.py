"""Arguments that are not data are told the way in: what to pass, and what to write in the function."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import io
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from pytest_modal.remote import not_data
from pytest_modal.remote.data import NotDataError, encode

IN_TORCH = "and write getattr(torch, name) in the function"
MADE_THERE = "pass numbers, strings, lists, dicts or arrays, and make it from them in the function"


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int


class Scorer:
    def __call__(self, text: str) -> int:
        return len(text)


def score(text: str) -> int:
    return len(text)


WAYS_IN: dict[str, tuple[Callable[[], Any], str]] = {
    "dtype of torch": (lambda: torch.bfloat16, f'torch.dtype is not data; pass its name, "bfloat16", {IN_TORCH}'),
    "function of torch": (lambda: torch.relu, f'pass its name, "relu", {IN_TORCH}'),
    "function of torch.nn": (
        lambda: torch.nn.functional.gelu,
        'pass its name, "gelu", and write getattr(torch.nn.functional, name) in the function',
    ),
    "class of a module": (
        lambda: torch.nn.GELU,
        'pass its name, "GELU", and write getattr(torch.nn, name) in the function',
    ),
    "module": (
        lambda: torch.nn.GELU(),
        "GELU is not data; build the GELU in the function, or in a container fixture that the function takes",
    ),
    "device": (lambda: torch.device("cpu"), "pass str(x) and write torch.device(name) in the function"),
    "size": (lambda: torch.Size([2, 3]), "torch.Size is not data; pass tuple(x)"),
    "sparse tensor": (lambda: torch.eye(2).to_sparse(), "pass x.to_dense()"),
    "meta tensor": (lambda: torch.ones(2, device="meta"), "it has no values: materialize it first"),
    "type of numpy": (
        lambda: np.float32,
        'pass its name, "float32", and write getattr(numpy, name) in the function',
    ),
    "dtype of numpy": (lambda: np.dtype("f4"), "pass str(x)"),
    "objects": (lambda: np.array([None]), "numpy array of dtype object is not data; pass x.tolist()"),
    "function": (
        lambda: score,
        'pass its name, "score", and choose in the function, with which score travels: {"score": score}[name]',
    ),
    "lambda": (lambda: lambda text: text, MADE_THERE),
    "callable object": (Scorer, MADE_THERE),
    "anything": (object, "object is not data; " + MADE_THERE),
    "set": (lambda: {1}, "set is not data; pass sorted(x)"),
    "inside": (lambda: [{"tags": {1}}], 'at test_it: x[0]["tags"]: set is not data; pass sorted(x[0]["tags"])'),
    "key": (lambda: {frozenset(): 1}, "dict key of type frozenset is not data; pass sorted(key)"),
    "range": (lambda: range(3), "pass list(x)"),
    "counter": (lambda: collections.Counter("a"), "pass dict(x)"),
    "named tuple": (lambda: Point(1), "pass x._asdict()"),
    "decimal": (lambda: decimal.Decimal(1), "pass float(x) or str(x)"),
    "date": (lambda: datetime.date(2024, 1, 1), "pass x.isoformat()"),
    "path": (lambda: pathlib.PurePosixPath("a"), "pass str(x)"),
    "file": (lambda: io.StringIO(), "read it and pass its content"),
    "enum": (lambda: Colour.RED, "pass x.value"),
    "table": (lambda: pd.DataFrame({"a": [1]}), 'pass x.to_dict("records")'),
}


@pytest.mark.parametrize("name", WAYS_IN)
def test_an_argument_is_told_what_to_pass(name: str) -> None:
    make, words = WAYS_IN[name]
    with pytest.raises(NotDataError) as refused:
        encode(make(), "argument 'x' of f at test_it: x", argument="x")
    message = str(refused.value)
    assert message.startswith("argument 'x' of f at test_it: x")
    assert words in message
    assert "return" not in message


def test_no_way_out_of_a_type_speaks_of_returning_to_an_argument() -> None:
    for name in not_data.WAYS_OUT:
        module, _, own = name.rpartition(".")
        kind = type(own, (), {"__module__": module or "somewhere"})
        assert not_data.way_out(kind(), kind).startswith("return ")
        way = not_data.way_in(kind(), kind)
        assert way.startswith("pass ")
        assert "return" not in way


def test_the_cache_of_a_model_is_left_out_of_its_output_and_noted() -> None:
    cache = type("DynamicCache", (type("Cache", (), {"__module__": "transformers.cache_utils"}),), {})
    output = type("ModelOutput", (dict,), {"__module__": "transformers.utils.generic"})
    notes: list[str] = []
    value = {"one": output(logits=[1.0], past_key_values=cache()), "two": output(logits=[2.0])}
    assert encode(value, "forward", notes=notes) == encode({"one": {"logits": [1.0]}, "two": {"logits": [2.0]}})
    assert notes == ["forward: past_key_values was left out: a DynamicCache is not data"]
    with pytest.raises(NotDataError, match="DynamicCache is not data"):  # where it is the result itself
        encode(cache())
