"""Values as JSON that a person can read, and back: equal, of the same type, bit for bit.

What JSON has is written as it is. Everything else is an object of one member whose name begins with "$".
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

from pytest_modal.remote import data
from pytest_modal.store.recordings import arrays
from pytest_modal.store.recordings.errors import Damage
from pytest_modal.wording import count

READABLE = 64  # an array of up to so many numbers is written in the JSON
INLINE = 1024  # anything else of up to so many bytes is
LARGEST_DECIMAL = 1 << 512
_DEEPEST = 4 * data.MAX_DEPTH  # a dict of pairs has four levels for one of the value
_NAN = struct.pack(">d", math.nan).hex()
_SURROGATES = re.compile("([\ud800-\udfff])")


class ValueWriter:
    """Turns a value into JSON; `arrays` are those that are written beside it."""

    def __init__(self) -> None:
        self.arrays: list[tuple[str, Any]] = []

    def node(self, value: Any) -> Any:
        """Return a value, which is data, as JSON."""
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return _text(value)
        if kind is int:
            return value if abs(value) < LARGEST_DECIMAL else {"$int": hex(value)}
        if kind is float:
            return _float(value)
        if kind is list:
            return [self.node(each) for each in value]
        if kind is tuple:
            return {"$tuple": [self.node(each) for each in value]}
        if kind is dict:
            if all(type(key) is str and not key.startswith("$") and _text(key) is key for key in value):
                return {key: self.node(each) for key, each in value.items()}
            return {"$dict": [[self.node(key), self.node(each)] for key, each in value.items()]}
        if kind is complex:
            return {"$complex": [_float(value.real), _float(value.imag)]}
        if kind is bytes:
            return {"$bytes": self._bytes(value)}
        return self._other(value)

    def _other(self, value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.ndarray | numpy.generic) and not arrays.is_plain(value.dtype):
                return {"$encoded": self._bytes(b"".join(data.encode(value)))}
            if type(value) is numpy.ndarray:
                return {"$array": self._array(value)}
            if type(value) is numpy.str_:
                return {"$numpy_str": _text("".join(value))}  # str() strips trailing NULs
            if type(value) is numpy.bytes_:
                return {"$numpy_bytes": self._bytes(bytes(value))}
            if isinstance(value, numpy.generic):
                return {"$scalar": self._array(numpy.array(value, dtype=value.dtype))}
        # Tensors and dataclasses become what the encoding makes of them.
        return self.node(data.decode(b"".join(data.encode(value))))

    def _bytes(self, value: bytes) -> Any:
        if len(value) <= INLINE:
            return _base64(value)
        import numpy

        return self._array(numpy.frombuffer(value, numpy.uint8))

    def _array(self, value: Any) -> dict[str, Any]:
        node: dict[str, Any] = {"dtype": arrays.dtype_to_json(value.dtype), "shape": list(value.shape)}
        if arrays.is_fortran(value):
            node["order"] = "F"
        readable = _readable(value) if "order" not in node else None
        if readable is not None:
            node["values"] = readable
        elif value.nbytes <= INLINE:
            node["base64"] = _base64(bytes(arrays.memory_of(value)))
        else:
            node["member"] = f"array_{len(self.arrays)}"
            self.arrays.append((node["member"], value))
        return node


def _float(value: float) -> Any:
    if math.isfinite(value):
        return value
    bits = struct.pack(">d", value).hex()
    return {"$float": repr(value) if math.isinf(value) or bits == _NAN else f"0x{bits}"}


def _text(value: str) -> Any:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON would read two halves of a pair as one character.
        pieces = [piece for piece in _SURROGATES.split(value) if piece]
        return {"$str": [ord(piece) if _SURROGATES.fullmatch(piece) else piece for piece in pieces]}
    return value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _readable(array: Any) -> Any:
    """Return the numbers of a small array, if it can be restored from them bit for bit."""
    if array.size > READABLE or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        return None
    import numpy

    again = numpy.array(_shortest(array), array.dtype).reshape(array.shape)
    same = bytes(arrays.memory_of(again)) == bytes(arrays.memory_of(array))
    return _floats(_shortest(array)) if same else None


def _shortest(array: Any) -> Any:
    """Return numbers as lists, with no more digits than their dtype has."""
    import numpy

    if array.dtype.kind != "f" or array.dtype.itemsize == 8:
        return array.tolist()
    if array.ndim:
        return [_shortest(each) for each in array]
    return float(numpy.format_float_scientific(array[()]))


def _floats(listed: Any) -> Any:
    if type(listed) is list:
        return [_floats(each) for each in listed]
    return _float(listed) if type(listed) is float else listed


class ValueReader:
    """Reads JSON back into a value.

    Parameters
    ----------
    file : ArrayFile or None
        The arrays beside it.
    """

    def __init__(self, file: arrays.ArrayFile | None) -> None:
        self._file = file
        self._tags: dict[str, Callable[[Any, int], Any]] = {
            "$int": _big_int,
            "$float": lambda node, _: _special_float(node),
            "$complex": lambda node, _: complex(*map(_real, _pair(node))),
            "$str": lambda node, _: _from_pieces(node),
            "$bytes": lambda node, _: self._bytes(node),
            "$tuple": lambda node, depth: tuple(self._items(node, depth)),
            "$dict": self._pairs,
            "$array": lambda node, _: self._array(node),
            "$scalar": lambda node, _: self._scalar(node),
            "$encoded": lambda node, _: self._encoded(node),
            "$numpy_str": lambda node, depth: _numpy().str_(_checked(self.node(node, depth), str)),
            "$numpy_bytes": lambda node, _: _numpy().bytes_(self._bytes(node)),
        }

    def node(self, node: Any, depth: int = 0) -> Any:
        """Return the value of a node.

        Raises
        ------
        Damage
            No value is written so.
        """
        kind = type(node)
        if kind is list:
            return self._items(node, depth)
        if kind is dict:
            tag = next(iter(node), "")
            if tag.startswith("$"):
                if len(node) > 1:
                    raise Damage(f"the tag {tag!r} among other names")
                if tag not in self._tags:
                    raise Damage(f"unknown tag {tag!r}")
                return self._tags[tag](node[tag], depth + 1)
            return self._plain(node, depth)
        return _real(node) if kind is float else node

    def _items(self, node: Any, depth: int) -> list[Any]:
        values: list[Any] = []
        if depth > _DEEPEST:
            raise Damage("nested too deeply")
        try:
            for each in _checked(node, list):
                values.append(self.node(each, depth + 1))  # noqa: PERF401 - errors need the position
        except Damage as damage:
            damage.segments.append(f"[{len(values)}]")
            raise
        return values

    def _plain(self, node: dict[str, Any], depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if depth > _DEEPEST:
            raise Damage("nested too deeply")
        key = ""
        try:
            for key, each in node.items():
                if key.startswith("$"):
                    raise Damage(f"the tag {key!r} among other names")
                values[key] = self.node(each, depth + 1)
        except Damage as damage:
            damage.segments.append(f"[{key[:60]!r}]")
            raise
        return values

    def _pairs(self, node: Any, depth: int) -> dict[Any, Any]:
        pairs = [_pair(each) for each in self._items(node, depth)]
        try:
            values = dict(pairs)
        except TypeError as error:
            raise Damage(f"not the key of a dict: {error}") from None
        if len(values) != len(pairs):
            raise Damage("two equal keys in one dict")
        return values

    def _bytes(self, node: Any) -> bytes:
        if type(node) is str:
            return bytes(_from_base64(node))
        array = self._array(node)
        if array.ndim != 1 or array.dtype.str != "|u1":
            raise Damage("not an array of bytes")
        return bytes(array.tobytes())

    def _encoded(self, node: Any) -> Any:
        try:
            value = data.decode(self._bytes(node))
        except data.CorruptDataError as error:
            raise Damage(f"not an encoded array: {error}") from None
        if not isinstance(value, _numpy().ndarray | _numpy().generic) or arrays.is_plain(value.dtype):
            raise Damage("an encoded value that is not an array, or need not be encoded")
        return value

    def _scalar(self, node: Any) -> Any:
        array = self._array(node)
        if array.ndim:
            raise Damage("a scalar that has a shape")
        return array[()]

    def _array(self, node: Any) -> Any:
        stored = {"values", "base64", "member"} & set(_checked(node, dict))
        names = {"dtype", "shape", "order"} | stored
        if len(stored) != 1 or not {"dtype", "shape"} <= set(node) <= names or node.get("order", "F") != "F":
            raise Damage("not the description of an array")
        shape, fortran = arrays.shape_from_json(node["shape"]), "order" in node
        if "member" in node:
            if self._file is None:
                raise Damage("an array, but no .npz file")
            return self._file.take(_checked(node["member"], str), node["dtype"], shape, fortran)
        dtype = arrays.dtype_from_json(node["dtype"])
        if "base64" in node:
            return arrays.array_of(dtype, shape, fortran, _from_base64(node["base64"]))
        return _from_numbers(node["values"], dtype, shape)


def _numpy() -> Any:
    import numpy

    return numpy


def _checked(node: Any, kind: type) -> Any:
    if type(node) is not kind:
        raise Damage(f"of type {type(node).__name__}, not {kind.__name__}")
    return node


def _pair(node: Any) -> Any:
    if type(node) is not list or len(node) != 2:
        raise Damage("not a list of two")
    return node


def _real(node: Any) -> float:
    if type(node) is dict and set(node) == {"$float"}:
        return _special_float(node["$float"])
    if type(node) is not float or not math.isfinite(node):
        raise Damage("not a finite number with a fraction")
    return node


def _special_float(node: Any) -> float:
    if node in ("inf", "-inf", "nan"):
        return float(node)
    if type(node) is not str or not re.fullmatch("0x[0-9a-f]{16}", node):
        raise Damage("not a special float")
    value: float = struct.unpack(">d", bytes.fromhex(node[2:]))[0]
    return value


def _big_int(node: Any, _: int) -> int:
    if type(node) is not str or not re.fullmatch("-?0x[0-9a-f]+", node):
        raise Damage("not an integer in hexadecimal")
    return int(node, 16)


def _from_pieces(node: Any) -> str:
    pieces = _checked(node, list)
    if not all(type(piece) is str or (type(piece) is int and 0xD800 <= piece <= 0xDFFF) for piece in pieces):
        raise Damage("not pieces of text and lone surrogates")
    return "".join(chr(piece) if type(piece) is int else piece for piece in pieces)


def _from_base64(node: Any) -> bytearray:
    try:
        return bytearray(base64.b64decode(_checked(node, str), validate=True))
    except (binascii.Error, ValueError) as error:
        raise Damage(f"not base64: {error}") from None


def _from_numbers(node: Any, dtype: Any, shape: list[int]) -> Any:
    numpy = _numpy()
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or math.prod(shape) > READABLE:
        raise Damage("an array that can't be written as numbers")
    leaf = {"b": bool, "f": float}.get(dtype.kind, int)
    numbers: list[Any] = []
    _flatten(node, leaf, len(shape), numbers)
    if dtype.kind in "iu" and not all(numpy.iinfo(dtype).min <= each <= numpy.iinfo(dtype).max for each in numbers):
        raise Damage(f"numbers too large for {dtype}")
    if len(numbers) != math.prod(shape):
        raise Damage(f"{count(len(numbers), 'number')} in an array of shape {tuple(shape)}")
    with numpy.errstate(all="ignore"):
        array = numpy.array(numbers, dtype).reshape(shape)
    if _floats(_shortest(array)) != node:
        raise Damage(f"numbers that are not of {dtype}, or not in the shape {tuple(shape)}")
    return array


def _flatten(node: Any, leaf: type, depth: int, numbers: list[Any]) -> None:
    if depth:
        for each in _checked(node, list):
            _flatten(each, leaf, depth - 1, numbers)
    else:
        numbers.append(_real(node) if leaf is float else _checked(node, leaf))
