"""Dtypes of arrays of data as JSON, and back; which bytes of an item are part of its value."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

from pytest_modal.remote.not_data import RefusedError

_DTYPE = re.compile(r"[<>|](?:[biufcSUV]\d+|[mM]8(?:\[(?:[1-9]\d{0,8})?[A-Za-z]+\])?|[cilqILQgG])")


def load_numpy() -> Any:
    """Return numpy, which is imported where a payload holds arrays."""
    return importlib.import_module("numpy")


def describe(dtype: Any) -> Any:
    """Return the description from which `dtype_of` makes the same dtype."""
    if dtype.subdtype is not None:
        return [describe(dtype.base), list(dtype.shape)]
    if dtype.names is None:
        # long and long long are two types of one layout: only the character tells them apart.
        for spec in (dtype.str, dtype.str[0] + dtype.char):
            if _DTYPE.fullmatch(spec) and (plain := load_numpy().dtype(spec)) == dtype and plain.char == dtype.char:
                return spec
    else:
        parts = [(*dtype.fields[name], None)[:3] for name in dtype.names]
        formats, offsets, titles = ([each[part] for each in parts] for part in range(3))
        if dtype.type is load_numpy().void and {str, type(None)} >= set(map(type, titles)):
            fields = {"names": list(dtype.names), "formats": list(map(describe, formats)), "titles": titles}
            return {**fields, "offsets": offsets, "itemsize": dtype.itemsize, "aligned": dtype.isalignedstruct}
    raise RefusedError(f"numpy array of dtype {dtype}", "return {}.tolist()")


def dtype_of(spec: Any) -> Any:
    """Return the dtype of a description.

    Raises
    ------
    ValueError, TypeError
        No dtype of data has this description.
    """
    if type(spec) is list:
        base, shape = spec
        return load_numpy().dtype((dtype_of(base), tuple(shape)))
    if type(spec) is dict:
        formats = [dtype_of(each) for each in spec["formats"]]
        # numpy computes the ends of fields in 32 bits: a forged offset would make it read beyond the memory.
        ends = [offset + each.itemsize for offset, each in zip(spec["offsets"], formats, strict=True)]
        if max(ends, default=0) <= spec["itemsize"]:
            return load_numpy().dtype({**spec, "formats": formats})
    elif _DTYPE.fullmatch(spec):
        return load_numpy().dtype(spec)
    raise ValueError("not the dtype of an array of data")


def value_bytes(dtype: Any) -> Any:
    """Return a mask over the bytes of an item: 255 where they are part of its value, else 0."""
    mask = load_numpy().full(dtype.itemsize, 255, "u1")
    if dtype.subdtype is not None:
        mask[:] = load_numpy().tile(value_bytes(dtype.base), math.prod(dtype.shape))
    elif dtype.names is not None:
        mask[:] = 0
        for each, offset, *_ in map(dtype.fields.get, dtype.names):
            mask[offset : offset + each.itemsize] |= value_bytes(each)
    elif dtype.char in "gG" and dtype.isnative and load_numpy().finfo(dtype).nmant == 63:
        mask.reshape(-1, 16)[:, 10:] = 0  # 80 bits of x87
    return mask
