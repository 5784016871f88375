"""What is data comes back equal and of the same type; what is not is refused with its place and a way out."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import enum
import math
import pathlib
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modal.data import CorruptDataError, NotDataError, decode, digest, encode


def there_and_back(value: Any, *, copy: bool = True) -> Any:
    return decode(b"".join(encode(value)), copy=copy)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of one type, at every level, NaNs bit for bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, complex):
        return same([left.real, left.imag], [right.real, right.imag])
    return bool(left == right)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.complex_numbers(allow_nan=True)
    | st.text(st.characters(codec=None, categories=None))
    | st.binary()
)
keys = st.recursive(scalars.filter(lambda key: key == key), lambda inner: st.tuples(inner, inner), max_leaves=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.dictionaries(keys, inner, max_size=3)
        | st.lists(st.floats(), min_size=15, max_size=20)
        | st.lists(st.integers(-(2**63), 2**63), min_size=15, max_size=20)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(values)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(there_and_back(value), value)
    assert digest(encode(value)) == digest(encode(there_and_back(value)))


STRUCTURED = [("a", "i1"), ("b", "f8", (2,)), ("c", [("d", "U3"), ("e", ">i2")])]
ARRAYS = {
    "c order": np.arange(6.0).reshape(2, 3),
    "fortran order": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "zero dimensions": np.array(3.5),
    "empty": np.zeros((0, 3), dtype="f4"),
    "not contiguous": np.arange(10)[::3],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "big endian": np.arange(3, dtype=">i4"),
    "half": np.array([1.5, np.nan, -np.inf], dtype="f2"),
    "long double": np.array([1, 2], dtype=np.longdouble) / 3,
    "complex": np.array([1 + 2j]),
    "bool": np.array([True, False]),
    "text": np.array(["a", "bcd", "é"]),
    "bytes": np.array([b"a", b"bc\0d"]),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[us]"),
    "durations": np.array([5], dtype="m8[ns]"),
    "structured": np.array([(1, [2.0, 3.0], ("x", 4))], dtype=STRUCTURED),
    "padded": np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "void": np.array([b"ab"], dtype="V2"),
    "no width": np.array(["", ""]),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("copy", [True, False])
def test_arrays_come_back_bit_for_bit(name: str, copy: bool) -> None:
    array = ARRAYS[name]
    back = there_and_back(array, copy=copy)
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    assert back.flags.writeable or not copy


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(1.5),
        np.float32("nan"),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1j),
        np.str_("a\0"),
        np.bytes_(b"a\0"),
        np.datetime64("2020-01-01T00:00:01"),
        np.timedelta64(3, "h"),
        np.longdouble(1) / 3,
        ARRAYS["structured"][0],
    ],
    ids=lambda scalar: type(scalar).__name__,
)
def test_numpy_scalars_keep_their_type(scalar: Any) -> None:
    back = there_and_back([scalar])[0]
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    # Not byte for byte: a long double has padding that belongs to nobody.
    assert back == scalar or (back != back and scalar != scalar)


def test_the_memory_of_large_arrays_is_not_copied_on_the_way_out() -> None:
    array = np.zeros(1_000_000)
    assert any(isinstance(part, memoryview) and np.shares_memory(np.asarray(part), array) for part in encode(array))


def test_tensors_leave_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    value = {
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "grad": torch.ones(2, requires_grad=True),
        "view": torch.arange(6).reshape(2, 3).T,
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "scalar": torch.tensor(3),
    }
    back = there_and_back(value)
    assert back["bfloat16"].dtype == np.float32
    assert back["bfloat16"].tolist() == [1.5, -2.0]
    assert back["grad"].tolist() == [1.0, 1.0]
    assert back["view"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert back["conjugate"].tolist() == [1 - 2j]
    assert back["scalar"].shape == ()


def test_model_outputs_and_dataclasses_leave_as_dicts() -> None:
    torch = pytest.importorskip("torch")
    outputs = pytest.importorskip("transformers.modeling_outputs")

    @dataclasses.dataclass
    class Row:
        id: int
        scores: list[float]

    assert there_and_back([Row(1, [0.5])]) == [{"id": 1, "scores": [0.5]}]
    back = there_and_back(outputs.CausalLMOutput(logits=torch.zeros(1, 2)))
    assert type(back) is dict
    assert list(back) == ["logits"]


class Colour(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")
cycle: list[Any] = []
cycle.append(cycle)
deep: list[Any] = []
for _ in range(10_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([0, {"logits": {1}}], 'answers[1]["logits"]: set is not data; return sorted(answers[1]["logits"])'),
        ({"a": (1, np.array([None]))}, 'answers["a"][1]: numpy array of dtype object is not data; return'),
        (pathlib.PurePosixPath("x"), "PurePosixPath is not data; return str(answers)"),
        (Point(1, 2), "return answers._asdict()"),
        (Colour.RED, "Colour is not data; return int(answers)"),
        (collections.OrderedDict(), "collections.OrderedDict is not data; return dict(answers)"),
        (collections.defaultdict(int), "return dict(answers)"),
        ((x for x in ()), "generator is not data; return list(answers)"),
        (bytearray(), "return bytes(answers)"),
        (datetime.datetime(2020, 1, 1), "return answers.isoformat()"),
        (pd.DataFrame({"a": [1]}), 'return answers.to_dict("records")'),
        (pd.Series([1]), "return answers.to_numpy()"),
        (np.ma.array([1]), "MaskedArray is not data; return answers.filled"),
        (print, "call it and return its result"),
        (int, "call it and return its result"),
        (object(), "object is not data; return numbers, strings, lists, dicts or arrays"),
        ({frozenset({1}): 2}, "<key>: frozenset is not data"),
        (cycle, "it contains itself, or is nested deeper than 100 levels"),
        (deep, "it contains itself, or is nested deeper than 100 levels"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_with_its_place_and_a_way_out(value: Any, said: str) -> None:
    with pytest.raises(NotDataError) as refused:
        encode(value, "answers")
    assert said in str(refused.value)
    assert refused.value.path.startswith("answers")


SAMPLE = {"rows": [{"id": "a", "x": 1.5}, (1, 2**70)], "array": np.arange(5.0), "floats": [0.5] * 20, "bytes": b"xyz"}


def test_a_truncated_encoding_is_refused() -> None:
    whole = b"".join(encode(SAMPLE))
    for length in range(len(whole)):
        with pytest.raises(CorruptDataError):
            decode(whole[:length])
    with pytest.raises(CorruptDataError):
        decode(whole + b"\0" * 16)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_encoding_gives_an_error_or_a_value_and_nothing_else(choose: st.DataObject) -> None:
    whole = bytearray(b"".join(encode(SAMPLE)))
    for _ in range(choose.draw(st.integers(1, 4))):
        whole[choose.draw(st.integers(0, len(whole) - 1))] ^= choose.draw(st.integers(1, 255))
    # A flip in the memory of an array is another array; one in the skeleton is found by its checksum.
    with contextlib.suppress(CorruptDataError):
        assert set(decode(bytes(whole))) == set(SAMPLE)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(CorruptDataError):
        decode(noise)


@pytest.mark.parametrize(
    "skeleton",
    [
        '{"x":1}',
        "[" * 100_000,
        '{"a":["\'<f8\'",[1000000000000],"C",0]}',
        '{"a":["\'O\'",[1],"C",0]}',
        '{"a":["__import__(\'os\')",[1],"C",0]}',
        '{"a":["\'<f8\'",[-1],"C",0]}',
        '{"b":-1}',
        '{"b":5}',
        '{"m":[1]}',
        '{"m":[[],1]}',
        "NaN",
        '{"f":"00"}',
        '{"i":"zz"}',
        "1" * 10_000,
    ],
    ids=range(14),
)
def test_a_hostile_skeleton_is_refused(skeleton: str) -> None:
    import zlib

    text = skeleton.encode()
    index = struct.pack("<2Q", len(text), 8)
    body = struct.pack("<8sII", b"PMDATA1\n", zlib.crc32(text, zlib.crc32(index)), 1) + index + text
    body += bytes(-len(body) % 16) + bytes(8) + bytes(8)
    with pytest.raises(CorruptDataError):
        decode(body)


def test_nan_stays_the_nan_that_it_was() -> None:
    (odd,) = struct.unpack("<d", bytes.fromhex("010000000000f87f"))
    assert math.isnan(odd)
    assert same(there_and_back([odd, -0.0]), [odd, -0.0])
