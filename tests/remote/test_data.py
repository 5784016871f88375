"""What is data comes back equal and of the same type; what is not is refused with its place and a way out."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import io
import itertools
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from sample_data import ARRAYS, LAYOUTS, NESTED, same, values

from pytest_modal.remote import data
from pytest_modal.remote.data import CorruptDataError, NotDataError, decode, digest, encode


def there_and_back(value: Any, *, copy: bool = True) -> Any:
    return decode(b"".join(encode(value)), copy=copy)


# --- plain values ------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(values)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert same(there_and_back(value), value)
    assert digest(encode(value)) == digest(encode(there_and_back(value)))


@pytest.mark.parametrize(
    "value",
    [
        struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0],
        struct.unpack("<d", bytes.fromhex("0100000000000df0"))[0],
        [float("nan"), float("-inf"), -0.0] * 10,
        [2**63 - 1, -(2**63)] * 10,
        [2**63, 0] * 10,
        [True, 1, 1.0],
        [True, False] * 10,
        "\ud83d\ude00",
        {"$tuple": [1]},
        {"$": 1, "b": 2},
        {1: "a", 1.5: "b", "1": "c", None: "d", b"1": "e", (1, ("x", None)): "f", 1j: "g"},
        {n: n / 3 for n in range(100)},
        {f"é{n}": {"x": n} for n in range(100)},
        {bytes([n]): bytes([n, n]) for n in range(20)},
        [{"a": n, "b": None if n % 2 else [n]} for n in range(20)],
        [{"a": n, "b": 1} if n % 2 else {"b": 1, "a": n} for n in range(20)],
        [{"a": 1}] * 16 + [{"b": 1}],
        [{"in": {"id": n, "p": n / 7}} for n in range(20)],
        [{1: n} for n in range(20)],
        [{}] * 20,
        [[]] * 20,
        [(), [], {}, "", b""],
        -(10**5000),
    ],
    ids=lambda value: repr(value)[:30] if type(value) is not int else "huge",
)
def test_the_corners_come_back_as_they_were(value: Any) -> None:
    assert same(there_and_back(value), value)


def test_a_row_whose_key_only_equals_the_others_is_not_taken_for_one_of_a_table() -> None:
    rows: list[dict[Any, int]] = [{"a": n} for n in range(20)]
    rows[7] = {np.str_("a"): 7}
    (key,) = there_and_back(rows)[7]
    assert type(key) is np.str_


def test_an_encoding_stays_what_it_is() -> None:
    """Recordings are committed: a change of this digest makes all of them unreadable."""
    value = {"rows": [{"id": n, "ok": True} for n in range(20)], "array": np.arange(5, dtype="<f4"), "k": (1j, b"x")}
    assert digest(encode(value)) == "fcd88baf9d3a0648aa128ca4bf30f51f3fbdecee"


# --- arrays and numpy scalars ------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    arrays_of.arrays(
        arrays_of.scalar_dtypes() | arrays_of.nested_dtypes(max_leaves=4, max_itemsize=200),
        arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4),
    )
)
def test_any_array_comes_back(array: Any) -> None:
    back = there_and_back(array)
    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    assert repr(back) == repr(array)
    assert digest(encode(back)) == digest(encode(array))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("copy", [True, False])
def test_arrays_come_back_bit_for_bit(name: str, copy: bool) -> None:
    array = ARRAYS[name]
    back = there_and_back(array, copy=copy)
    assert same(back, array)
    assert back.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    assert back.flags.writeable or not copy


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 0), (2, 3)], ids=str)
def test_every_layout_comes_back(name: str, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(LAYOUTS[name])
    array = np.ndarray(shape, dtype, bytes(range(1, 200)) * 10)
    back = there_and_back(array)
    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    assert (back.dtype.char, back.dtype.isalignedstruct) == (array.dtype.char, array.dtype.isalignedstruct)
    assert repr(back.dtype.fields) == repr(array.dtype.fields)
    assert repr(back.tolist()) == repr(array.tolist())


@pytest.mark.parametrize("name", ["aligned", "out of order", "union", "long double", "structured long double"])
def test_memory_that_is_no_part_of_the_value_does_not_count(name: str) -> None:
    dtype = np.dtype(LAYOUTS[name])
    clean = np.zeros(3, dtype)
    dirty = np.frombuffer(b"\xff" * clean.nbytes, dtype).copy()
    overwrite(dirty, clean)
    assert repr(dirty.tolist()) == repr(clean.tolist())
    assert digest(encode(dirty)) == digest(encode(clean))


def overwrite(target: Any, source: Any) -> None:
    """Assign field by field, number by number, as a program does that leaves the rest of the memory alone."""
    if target.dtype.names is None:
        size = 10 if target.dtype.char == "g" and np.finfo("g").nmant == 63 else target.dtype.itemsize
        flat_target, flat_source = (np.asarray(each)[..., None].view("u1") for each in (target, source))
        flat_target[..., :size] = flat_source[..., :size]
    for name in target.dtype.names or ():
        overwrite(target[name], source[name])


SCALARS = [
    np.float64(1.5),
    np.float32("nan"),
    np.float16(-0.0),
    np.int8(-3),
    np.uint64(2**64 - 1),
    np.longlong(3),
    np.bool_(True),
    np.complex64(1j),
    np.str_("a\0"),
    np.str_(""),
    np.bytes_(b"a\0"),
    np.datetime64("2020-01-01T00:00:01"),
    np.datetime64("NaT", "s"),
    np.timedelta64(3, "h"),
    np.longdouble(1) / 3,
    np.void(b"a\0"),
    np.ones(1, dtype=NESTED)[0],
]


@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: repr(scalar)[:30])
def test_numpy_scalars_keep_their_type(scalar: Any, times: int) -> None:
    for back in there_and_back([scalar] * times):
        assert type(back) is type(scalar)
        assert back.dtype == scalar.dtype
        assert repr(back) == repr(scalar)


def test_numpy_scalars_are_keys_too() -> None:
    value = {np.int64(1): "a", np.str_("b"): "c", np.datetime64("2020-01-01"): "d"}
    back = there_and_back(value)
    assert back == value
    assert list(map(type, back)) == list(map(type, value))


def test_arrays_that_come_back_are_isolated() -> None:
    array = np.arange(5)
    encoded = bytearray(b"".join(encode([array, array])))
    first, second = decode(encoded)
    encoded[-8:] = bytes(8)
    first[:] = -1
    assert second.tolist() == [0, 1, 2, 3, 4]
    assert array.tolist() == [0, 1, 2, 3, 4]


def test_arrays_can_be_views_of_the_encoding() -> None:
    array = np.arange(1000)
    encoded = b"".join(encode({"array": array}))
    view = decode(encoded, copy=False)["array"]
    assert np.shares_memory(view, np.frombuffer(encoded, "u1"))
    assert view.flags.aligned
    assert same(view, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_of_arrays_is_not_copied_on_the_way_out(order: Any) -> None:
    array = np.zeros((1000, 100), order=order)
    assert any(isinstance(part, memoryview) and np.shares_memory(np.asarray(part), array) for part in encode(array))


def test_memory_stays_at_twice_the_payload() -> None:
    value = {"arrays": [np.zeros(1_000_000) for _ in range(4)], "text": b"x" * 4_000_000}
    tracemalloc.start()
    try:
        there_and_back(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.05 * 36_000_000


# --- what is converted on the way out ----------------------------------------------------------------------


def test_tensors_leave_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    value = {
        "float": torch.tensor([1.5, -2.0]),
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "float8": torch.tensor([1.5, -2.0]).to(torch.float8_e4m3fn),
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "grad": torch.ones(2, requires_grad=True),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "view": torch.arange(6).reshape(2, 3).T,
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "negated": torch.tensor([1 + 2j]).conj().imag,
        "scalar": torch.tensor(3),
        "bools": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }
    back = there_and_back(value)
    assert {type(array) for array in back.values()} == {np.ndarray}
    assert [back[name].dtype for name in ("float", "bfloat16", "float8", "half")] == ["f4", "f4", "f4", "f2"]
    assert [back[name].tolist() for name in ("float", "bfloat16", "float8", "half")] == [[1.5, -2.0]] * 4
    assert back["grad"].tolist() == back["parameter"].tolist() == [1.0, 1.0]
    assert back["view"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert back["conjugate"].tolist() == [1 - 2j]
    assert back["negated"].tolist() == [-2.0]
    assert (back["scalar"].shape, back["scalar"].tolist()) == ((), 3)
    assert back["bools"].dtype == bool
    assert back["empty"].shape == (0, 3)


@pytest.mark.filterwarnings("ignore")  # torch warns of what is new, and of what is old, when such tensors are made
def test_tensors_without_an_array_form_are_refused() -> None:
    torch = pytest.importorskip("torch")
    for tensor, said in (
        (torch.eye(2).to_sparse(), "torch.Tensor of layout torch.sparse_coo is not data; return x[0].to_dense()"),
        (torch.ones(2, device="meta"), "torch.Tensor on meta is not data; it has no values"),
        (torch.ones(2, dtype=torch.complex32), "torch.Tensor of torch.complex32 is not data; it has no array form"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "return list(x[0].unbind())"),
        (torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.quint8), "return x[0].dequantize()"),
    ):
        with pytest.raises(NotDataError) as refused:
            encode([tensor], "x")
        assert said in str(refused.value)
        with pytest.raises(NotDataError, match="dict key of type"):
            encode({tensor: 1})


def test_model_outputs_leave_as_dicts_of_what_they_have() -> None:
    torch = pytest.importorskip("torch")
    outputs = pytest.importorskip("transformers.modeling_outputs")
    back = there_and_back(outputs.CausalLMOutput(logits=torch.zeros(1, 2), hidden_states=(torch.ones(1),)))
    assert type(back) is dict
    assert list(back) == ["logits", "hidden_states"]
    assert type(back["hidden_states"]) is tuple


def test_dataclasses_leave_as_dicts() -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    @dataclasses.dataclass(frozen=True)
    class Row:
        id: int
        points: list[Point]

    assert there_and_back([Row(1, [Point(2)])]) == [{"id": 1, "points": [{"x": 2}]}]
    with pytest.raises(NotDataError, match="type is not data; call it"):
        encode(Point)


# --- what is refused ---------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int


class OwnFloat(np.float64):
    pass


class OwnText(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")
REFUSED: dict[str, tuple[Any, str]] = {
    "set": ([0, {"logits": {1}}], 'x[1]["logits"]: set is not data; return sorted(x[1]["logits"])'),
    "frozenset": (frozenset(), "frozenset is not data; return sorted(x)"),
    "objects": ({"a": (1, np.array([None]))}, 'x["a"][1]: numpy array of dtype object is not data; return x["a"][1].t'),
    "objects inside": (np.zeros(1, [("a", "O")]), "x: numpy array of dtype"),
    "record": (np.zeros(1, (np.record, [("a", "i4")])), "x: numpy array of dtype (numpy.record"),
    "recarray": (np.rec.array([(1,)], dtype=[("a", "i4")]), "recarray is not data; return numpy.array(x"),
    "masked": (np.ma.array([1]), "MaskedArray is not data; return x.filled"),
    "path": (pathlib.PurePosixPath("x"), "PurePosixPath is not data; return str(x)"),
    "namedtuple": (Point(1, 2), "return x._asdict()"),
    "enum": (Colour.RED, "Colour is not data; return x.value"),
    "int enum": (Level.LOW, "Level is not data; return"),
    "ordered dict": (collections.OrderedDict(), "collections.OrderedDict is not data; return dict(x)"),
    "default dict": (collections.defaultdict(int), "return dict(x)"),
    "text of its own": (OwnText("a"), "OwnText is not data; return str(x)"),
    "float of its own": (OwnFloat(1), "OwnFloat is not data; return float(x)"),
    "generator": ((n for n in ()), "generator is not data; return list(x)"),
    "range": (range(3), "range is not data; return list(x)"),
    "keys": ({}.keys(), "dict_keys is not data; return list(x)"),
    "bytearray": (bytearray(), "return bytes(x)"),
    "memoryview": (memoryview(b""), "return bytes(x)"),
    "datetime": (datetime.datetime(2020, 1, 1), "return x.isoformat()"),
    "decimal": (decimal.Decimal(1), "return float(x) or str(x)"),
    "frame": (pd.DataFrame({"a": [1]}), 'return x.to_dict("records")'),
    "series": (pd.Series([1]), "return x.to_numpy()"),
    "file": (io.StringIO(), "StringIO is not data; read it and return its content"),
    "function": (print, "call it and return its result"),
    "type": (int, "call it and return its result"),
    "anything": (object(), "object is not data; return numbers, strings, lists, dicts or arrays"),
    "key": ([{"a": 1, frozenset({1}): 2}], "x[0]: dict key of type frozenset is not data; return sorted(key)"),
    "key that would be a dict": ({(1, Frozen(1)): 2}, "x: dict key of type tuple is not data"),
    "in a table": ([{"id": n, "v": n} for n in range(20)] + [{"id": 1, "v": {1}}], 'x[20]["v"]: set is not data'),
    "in a table of tables": ([{"v": {"w": [n, print]}} for n in range(20)], 'x[0]["v"]["w"][1]: builtin_function'),
    "in a large dict": ({n: n if n < 30 else {1} for n in range(40)}, "x[30]: set is not data"),
    "under an odd key": ({'a"\n\ud800': {1}}, 'x["a\\"\\n\\ud800"]: set is not data'),
    "under a tuple": ({(1, "b"): [{1}]}, "x[(1, 'b')][0]: set is not data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_its_place_and_a_way_out(name: str) -> None:
    value, said = REFUSED[name]
    with pytest.raises(NotDataError) as refused:
        encode(value, "x")
    message = str(refused.value)
    assert said in message
    assert len(message.splitlines()) == 1
    error = refused.value
    assert message == f"{error.path}: {error.type_name} is not data; {error.hint}"


def test_encodings_of_tokenizers_are_refused() -> None:
    """They hold tensors, or lists, as asked, and more than data beside them."""
    transformers = pytest.importorskip("transformers")
    with pytest.raises(NotDataError, match=r"BatchEncoding is not data; return dict\(x\)"):
        encode(transformers.BatchEncoding({"input_ids": [1]}), "x")


def test_what_contains_itself_is_refused() -> None:
    values: list[Any] = [1]
    values.append({"again": values})
    mapping: dict[str, Any] = {}
    mapping["self"] = (mapping,)
    rows: list[dict[str, Any]] = [{"n": n, "rows": None} for n in range(20)]
    rows[3]["rows"] = rows
    for value, where in ((values, 'x[1]["again"]'), (mapping, 'x["self"][0]'), (rows, 'x[3]["rows"]')):
        with pytest.raises(NotDataError) as refused:
            encode(value, "x")
        assert refused.value.path == where
        assert refused.value.hint == "it contains itself"


def test_what_is_there_twice_comes_back_as_two() -> None:
    shared = [1]
    first, second = there_and_back([shared, shared])
    assert first == second
    assert first is not second


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: (inner,), lambda inner: {1: inner}])
def test_nesting_has_a_limit_and_no_recursion_error(wrap: Any) -> None:
    deep: Any = 1
    for _ in range(data.MAX_DEPTH):
        deep = wrap(deep)
    assert there_and_back(deep) == deep
    for _ in range(10_000):
        deep = wrap(deep)
    with pytest.raises(NotDataError, match="nested deeper than 200 levels"):
        encode(deep)


def test_a_stack_that_is_nearly_used_up_gives_no_recursion_error() -> None:
    nested: Any = 1
    for _ in range(150):
        nested = [nested]
    encoded = b"".join(encode(nested))

    def further_down(levels: int) -> None:
        if levels:
            further_down(levels - 1)
            return
        with contextlib.suppress(NotDataError):
            encode(nested)
        with contextlib.suppress(CorruptDataError):
            decode(encoded)

    further_down(sys.getrecursionlimit() - 300)


# --- what is not an encoding -------------------------------------------------------------------------------

SAMPLE: dict[str, Any] = {
    "rows": [{"id": "a", "x": 1.5}, (1, 2**70)],
    "array": np.arange(5.0),
    "structured": np.zeros(2, NESTED),
    "floats": [0.5] * 20,
    "bytes": b"xyz",
}


def test_a_truncated_encoding_is_refused() -> None:
    whole = b"".join(encode(SAMPLE))
    for length in range(len(whole)):
        with pytest.raises(CorruptDataError):
            decode(whole[:length])
    with pytest.raises(CorruptDataError):
        decode(whole + bytes(16))


def test_a_flipped_bit_before_the_memory_of_arrays_is_refused() -> None:
    whole = bytearray(b"".join(encode(SAMPLE)))
    _, _, length = data._HEAD.unpack_from(whole)
    unused = range(24, data._HEAD.size)
    for position in itertools.filterfalse(unused.__contains__, range(data._HEAD.size + length)):
        changed = copy.copy(whole)
        changed[position] ^= 1 << position % 8
        with pytest.raises(CorruptDataError):
            decode(changed)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_encoding_gives_an_error_or_a_value_and_nothing_else(choose: st.DataObject) -> None:
    whole = bytearray(b"".join(encode(SAMPLE)))
    for _ in range(choose.draw(st.integers(1, 4))):
        whole[choose.draw(st.integers(0, len(whole) - 1))] ^= choose.draw(st.integers(1, 255))
    # A flip in the memory of an array is another array.
    with contextlib.suppress(CorruptDataError):
        assert set(decode(bytes(whole))) == set(SAMPLE)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(CorruptDataError):
        decode(noise)


def forged(skeleton: Any, blocks: bytes = bytes(64)) -> bytes:
    """Return an encoding with a right checksum and whatever else an attacker wants."""
    text = skeleton if isinstance(skeleton, bytes) else json.dumps(skeleton).encode()
    return data._HEAD.pack(data.MAGIC, zlib.crc32(text), len(text)) + text + bytes(-len(text) % 16) + blocks


tags = st.sampled_from(sorted(data._Decoder(memoryview(b""), True)._tags))
dtypes = st.sampled_from(["<f8", "|V0", "<U9", "|O", "<M8[s]"])
skeletons = st.recursive(
    st.none() | st.integers(-1, 64) | st.integers() | st.floats() | dtypes | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(tags, inner, min_size=1, max_size=1)
        | st.builds(lambda *parts: {"$array": list(parts)}, dtypes | inner, st.lists(inner, max_size=2), st.just("C"))
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(skeletons)
def test_a_forged_encoding_gives_an_error_or_a_value_and_nothing_else(skeleton: Any) -> None:
    with contextlib.suppress(CorruptDataError):
        decode(forged(skeleton))


def structure(**changes: Any) -> dict[str, Any]:
    spec = {"names": ["a"], "formats": ["<i4"], "offsets": [0], "titles": [None], "itemsize": 4, "aligned": False}
    return {"$array": [spec | changes, [0], "C"]}


@pytest.mark.parametrize(
    "skeleton",
    [
        b"",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b'{"$tuple":' * 100_000,
        b"1" * 10_000,
        {"$unknown": 1},
        {"$bytes": 10**15},
        {"$bytes": -1},
        {"$bytes": True},
        [{"$bytes": 64}, {"$bytes": 64}],
        {"$floats": 7},
        {"$ints": 10**15},
        {"$int": "zz"},
        {"$float": "00"},
        {"$complex": 5},
        {"$tuple": "ab"},
        {"$dict": [[1], [1, 2]]},
        {"$dict": [[[]], [1]]},
        {"$rows": [["a", "b"], [1]]},
        {"$rows": [["a", "b"], [1], [1, 2]]},
        {"$rows": [["a"], "b"]},
        {"$scalar": [1]},
        {"$scalars": [1]},
        {"$scalars": {"$array": ["|V0", [10**18], "C"]}},
        {"$array": ["<f8", [10**12], "C"]},
        {"$array": ["<f8", [-1, -8], "C"]},
        {"$array": ["|V0", [-1], "C"]},
        {"$array": ["|V0", [-1, -1], "C"]},
        {"$array": ["|V0", [2**62, 2**62], "C"]},
        {"$array": [["|V0", [2**30]], [8], "C"]},
        {"$array": ["<f8", [0, -1], "C"]},
        {"$array": ["<M8[0s]", [1], "C"]},
        {"$array": ["<f8", [1] * 100, "C"]},
        {"$array": ["<f8", [8.0], "C"]},
        {"$array": ["<f8", [8], "Z"]},
        {"$array": ["|O", [8], "C"]},
        {"$array": ["O", [0], "C"]},
        {"$array": ["f8,O", [0], "C"]},
        {"$array": ["<U2000000000", [0], "C"]},
        {"$array": [["<f8", [2**31]], [0], "C"]},
        {"$array": [["<f8", [-1]], [0], "C"]},
        {"$array": [{"names": ["a"]}, [0], "C"]},
        structure(offsets=[-4]),
        structure(offsets=[2]),
        structure(offsets=[2**31 - 2], itemsize=2**31 - 1),
        structure(itemsize=2**40),
        structure(formats=["|O"]),
        structure(names=["a", "a"], formats=["<i4"] * 2, offsets=[0, 0]),
    ],
    ids=lambda skeleton: str(skeleton)[:40],
)
def test_a_hostile_encoding_is_refused_at_no_cost(skeleton: Any) -> None:
    encoded = forged(skeleton)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError):
            decode(encoded)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_what_is_not_bytes_is_refused() -> None:
    for buffer in ("text", None, np.arange(6)[::2]):
        with pytest.raises(CorruptDataError):
            decode(buffer)  # type: ignore[arg-type]


# --- the container -----------------------------------------------------------------------------------------


def test_the_boundary_needs_nothing_but_the_standard_library(tmp_path: pathlib.Path) -> None:
    package = tmp_path / "pytest_modal" / "remote"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("data.py", "dtypes.py", "converted.py", "not_data.py"):
        shutil.copy(pathlib.Path(data.__file__).with_name(name), package / name)
    array = tmp_path / "array"
    array.write_bytes(b"".join(encode(np.arange(3))))
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pytest_modal.remote.data import decode, encode
value = [None, 1.5, "text", b"bytes", (1, 2), {{"rows": [{{"a": 1}}] * 20}}]
assert decode(b"".join(encode(value))) == value
imported = {{name.partition(".")[0] for name in sys.modules}}
assert "pickle" not in imported
assert imported - set(sys.stdlib_module_names) <= {{"pytest_modal", "__main__"}}, imported
try:
    decode(open({str(array)!r}, "rb").read())
except ModuleNotFoundError as error:
    assert error.name == "numpy"
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True, timeout=60)
