"""Values of every kind that is data, and what it means that two are the same."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st

text = st.text(st.characters(codec=None, categories=None))  # with lone surrogates
numbers = st.integers() | st.integers(-(2**200), 2**200) | st.floats() | st.complex_numbers()
scalars = st.none() | st.booleans() | numbers | text | st.binary()
keys = st.recursive(scalars.filter(lambda key: key == key), lambda inner: st.tuples(inner, inner), max_leaves=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(text | st.just("$tuple"), inner, max_size=5)
        | st.dictionaries(keys, inner, max_size=5)
        | st.lists(st.floats(), min_size=15, max_size=18)
        | st.lists(st.integers(-(2**63) - 1, 2**63), min_size=15, max_size=18).map(tuple)
        | st.lists(st.fixed_dictionaries({"a": inner, "$": st.floats()}), min_size=15, max_size=18)
    ),
    max_leaves=20,
)

NESTED = [(("Title", "a"), "i1"), ("b", "f8", (2,)), ("c", [("d", "U3"), ("é", ">i2")])]
LAYOUTS: dict[str, Any] = {
    "structured": NESTED,
    "aligned": np.dtype([("a", "i1"), ("b", np.dtype([("c", "i1"), ("d", "f8")], align=True), (2,))], align=True),
    "union": {"names": ["a", "b"], "formats": ["<i4", "<f4"], "offsets": [0, 0], "itemsize": 8},
    "out of order": {"names": ["b", "a"], "formats": ["<f8", "i1"], "offsets": [8, 0], "itemsize": 24},
    "no fields": [],
    "fields of no size": [("a", "S0"), ("b", "f4", (0,))],
    "unnamed field": [("", "i4")],
    "long long": "q",
    "character": "c",
    "long double": "g",
    "swapped long double": ">g",
    "complex long double": "G",
    "structured long double": [("a", "g"), ("b", "?")],
    "void": "V3",
    "void of no size": "V0",
    "text of no size": "U0",
    "durations": "m8[ns]",
    "metadata": np.dtype("f8", metadata={"unit": "s"}),
}
ARRAYS = {
    "c order": np.arange(6.0).reshape(2, 3),
    "fortran order": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "zero dimensions": np.array(3.5),
    "empty": np.zeros((0, 3), dtype="f4"),
    "strided": np.arange(10)[::3],
    "reversed": np.arange(10)[::-1],
    "broadcast": np.broadcast_to(np.arange(3), (2, 3)),
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "field of a structure": np.array([(1, 2.0), (3, 4.0)], dtype="i1,f8")["f1"],
    "text": np.array(["a", "bcd", "é"]),
    "bytes": np.array([b"a", b"bc\0d"]),
    "dates": np.array(["2020-01-01", "NaT"], dtype="M8[us]"),
    "25 seconds": np.array(["2020-01-01", "NaT"], dtype="M8[25s]"),
    "read-only": np.frombuffer(b"abc", "u1"),
}


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of one type, at every level, numbers bit for bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())
    if type(left) is float:
        return struct.pack("<d", left) == struct.pack("<d", right)
    if type(left) is complex:
        return same([left.real, left.imag], [right.real, right.imag])
    if type(left) in (list, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict:
        return same(list(left.items()), list(right.items()))
    return bool(left == right)
