"""The data boundary: what is data, and how it travels, both ways, without pickle.

The encoding is a JSON skeleton followed by the memory of arrays, bytes and long lists of numbers, untouched.
Nothing in it can be executed. Standard library only; numpy is imported when a payload holds arrays. The file
travels into containers as it is.

Layout: magic, crc32, number of buffers, then the lengths of the skeleton and of each buffer (little-endian),
the skeleton, and each buffer at a multiple of 16 bytes.
"""

from __future__ import annotations

import array
import ast
import dataclasses
import hashlib
import json
import math
import struct
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from pytest_modal.refusal import RefusedError, type_name, way_out

Encoded = list[bytes | memoryview]

MAGIC = b"PMDATA1\n"
ALIGNMENT = 16
MAX_DEPTH = 100
PACKED_FROM = 16  # numbers in a list from which on their memory is shorter than their text
MAX_JSON_INT = 1 << 63
_HEAD = struct.Struct("<8sII")


class NotDataError(TypeError):
    """A value is not data.

    Attributes
    ----------
    path : str
        Where inside the value, such as ``answers[3]["logits"]``.
    type_name : str
        What stands there.
    hint : str
        The usual way out.
    """

    def __init__(self, path: str, type_name: str, hint: str) -> None:
        super().__init__(f"{path}: {type_name} is not data; {hint}")
        self.path, self.type_name, self.hint = path, type_name, hint


class CorruptDataError(ValueError):
    """Bytes are not a whole and valid encoding."""


def encode(value: Any, where: str = "value") -> Encoded:
    """Encode a value.

    Parameters
    ----------
    value : data
        See *What is data* in the documentation. Torch tensors become arrays (bfloat16 and float8 as
        float32); dataclasses and the outputs of transformers' models become dicts.
    where : str
        What errors call the value.

    Returns
    -------
    list of bytes or memoryview
        Buffers whose concatenation is the encoding. The memory of arrays is not copied: it must not change
        while the buffers are in use.

    Raises
    ------
    NotDataError
        Something inside is not data.
    """
    encoder = _Encoder()
    try:
        skeleton = encoder.node(value, 0)
    except RefusedError as refused:
        path = where + "".join(reversed(refused.segments))
        if len(path) > 200:
            path = f"{path[:120]}...{path[-60:]}"
        remedy = refused.way_out.replace("{}", path if len(path) < 60 else "it")
        raise NotDataError(path, refused.type_name, remedy) from None
    text = json.dumps(skeleton, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    lengths = [len(text), *(buffer.nbytes for buffer in encoder.buffers)]
    index = struct.pack(f"<{len(lengths)}Q", *lengths)
    head = _HEAD.pack(MAGIC, zlib.crc32(text, zlib.crc32(index)), len(encoder.buffers))
    first = head + index + text
    encoded: Encoded = [first + _padding(len(first))]
    for buffer in encoder.buffers:
        encoded += [buffer, _padding(buffer.nbytes)]
    return [part for part in encoded if len(part)]


def digest(buffers: Iterable[bytes | memoryview]) -> str:
    """Return the content hash of an encoding."""
    hashed = hashlib.blake2b(digest_size=20)
    for buffer in buffers:
        hashed.update(buffer)
    return hashed.hexdigest()


def decode(buffer: bytes | bytearray | memoryview, *, copy: bool = True) -> Any:
    """Decode what `encode` made.

    Parameters
    ----------
    buffer : bytes-like
        A whole encoding.
    copy : bool
        Give every array its own writable memory. Otherwise arrays may be views of `buffer`.

    Returns
    -------
    data
        Equal to the encoded value, and of the same types.

    Raises
    ------
    CorruptDataError
        The bytes are not a whole and valid encoding.
    """
    try:
        return _decode(memoryview(buffer).cast("B"), copy)
    except CorruptDataError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        RecursionError,
        MemoryError,
        struct.error,
    ) as error:
        raise CorruptDataError(f"not a valid encoding: {type(error).__name__}: {error}") from None


def _padding(length: int) -> bytes:
    return bytes(-length % ALIGNMENT)


class _Encoder:
    def __init__(self) -> None:
        self.buffers: list[memoryview] = []

    def node(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._text(value)
        if kind is int:
            return value if -MAX_JSON_INT <= value < MAX_JSON_INT else {"i": f"{value:x}"}
        if kind is float:
            return value if math.isfinite(value) else {"f": struct.pack("<d", value).hex()}
        if depth > MAX_DEPTH:
            raise RefusedError(type_name(kind), f"it contains itself, or is nested deeper than {MAX_DEPTH} levels")
        if kind is list:
            return self._list(value, depth)
        if kind is dict:
            return self._dict(value, depth)
        if kind is tuple:
            return {"t": self._items(value, depth)}
        if kind is bytes:
            return {"b": self._buffer(value)}
        if kind is complex:
            return {"c": struct.pack("<dd", value.real, value.imag).hex()}
        return self._other(value, kind, depth)

    def _buffer(self, memory: Any) -> int:
        self.buffers.append(memoryview(memory).cast("B"))
        return len(self.buffers) - 1

    def _text(self, value: str) -> Any:
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            # Two lone surrogates in a row would come back from JSON as one character.
            return {"s": self._buffer(value.encode("utf-8", "surrogatepass"))}
        return value

    def _list(self, value: list[Any], depth: int) -> Any:
        if len(value) >= PACKED_FROM:
            kinds = set(map(type, value))
            if kinds == {float}:
                return {"pd": self._buffer(_little_endian(array.array("d", value)))}
            if kinds == {int}:
                try:
                    return {"pq": self._buffer(_little_endian(array.array("q", value)))}
                except OverflowError:
                    pass
        return self._items(value, depth)

    def _items(self, value: Iterable[Any], depth: int) -> list[Any]:
        nodes: list[Any] = []
        try:
            for each in value:
                nodes.append(self.node(each, depth + 1))  # noqa: PERF401 - a generator would halve the depth
        except RefusedError as refused:
            refused.segments.append(f"[{len(nodes)}]")
            raise
        return nodes

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        key: Any = None
        try:
            if all(type(key) is str and key.isascii() for key in value):
                plain: dict[str, Any] = {}
                for key, each in value.items():
                    plain[key] = self.node(each, depth + 1)
                return {"d": plain}
            pairs: list[Any] = []
            for key, each in value.items():
                pairs += [self._key(key, depth), self.node(each, depth + 1)]
            return {"m": pairs}
        except RefusedError as refused:
            refused.segments.append(f"[{_short(key)}]")
            raise

    def _key(self, key: Any, depth: int) -> Any:
        try:
            return self.node(key, depth + 1)
        except RefusedError as refused:
            refused.segments.append(".<key>")
            raise

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None and hasattr(numpy, "ndarray"):
            if kind is numpy.ndarray:
                return self._array(value, numpy)
            if isinstance(value, numpy.generic):
                return self._scalar(value, numpy)
        if torch is not None and isinstance(value, torch.Tensor):
            return self._array(_tensor_to_array(value, torch), numpy or sys.modules["numpy"])
        if _is_model_output(kind):
            return self._dict(dict(value.items()), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._dict({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
        raise RefusedError(type_name(kind), way_out(value, kind))

    def _array(self, value: Any, numpy: Any) -> Any:
        if value.dtype.hasobject or value.dtype.kind == "T":
            raise RefusedError(f"numpy array of dtype {value.dtype}", "return {}.tolist()")
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        flat = numpy.ascontiguousarray(value.T if fortran else value).reshape(-1)
        memory = flat.view(numpy.uint8) if flat.nbytes else b""
        descr = repr(numpy.lib.format.dtype_to_descr(value.dtype))
        return {"a": [descr, list(value.shape), "F" if fortran else "C", self._buffer(memory)]}

    def _scalar(self, value: Any, numpy: Any) -> Any:
        # As arrays, text and bytes would lose trailing NULs.
        if type(value) is numpy.str_:
            return {"ns": self._text("".join(value))}  # str() strips them
        if type(value) is numpy.bytes_:
            return {"nb": self._buffer(bytes(value))}
        return {"n": self._array(numpy.array(value, dtype=value.dtype), numpy)["a"]}


def _little_endian(packed: array.array[Any]) -> array.array[Any]:
    if sys.byteorder == "big":
        packed.byteswap()
    return packed


def _tensor_to_array(tensor: Any, torch: Any) -> Any:
    if tensor.layout is not torch.strided:
        raise RefusedError(f"torch.Tensor with layout {tensor.layout}", "return {}.to_dense()")
    if tensor.is_meta:
        raise RefusedError("torch.Tensor on meta", "it has no values: materialize it first")
    if tensor.is_quantized:
        raise RefusedError("quantized torch.Tensor", "return {}.dequantize()")
    tensor = tensor.detach()
    if tensor.dtype is torch.bfloat16 or "float8" in str(tensor.dtype):
        tensor = tensor.float()
    try:
        return tensor.cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError) as error:
        # A CUDA fault surfaces here too; its own class must reach the caller.
        if "numpy" not in str(error).lower() and not isinstance(error, TypeError):
            raise
        raise RefusedError(f"torch.Tensor of {tensor.dtype} on {tensor.device}", "return {}.float()") from None


def _is_model_output(kind: type) -> bool:
    return any(
        base.__name__ == "ModelOutput" and base.__module__.partition(".")[0] == "transformers" for base in kind.__mro__
    )


def _short(key: Any) -> str:
    try:
        text = f'"{key}"' if type(key) is str else repr(key)
    except Exception:
        text = f"<{type_name(type(key))}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _decode(view: memoryview, copy: bool) -> Any:
    magic, checksum, count = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise CorruptDataError("not an encoding of this library: it begins otherwise")
    start = _HEAD.size + 8 * (count + 1)
    if start > len(view):
        raise CorruptDataError(f"truncated: {count} buffers are announced in {len(view)} bytes")
    lengths = struct.unpack_from(f"<{count + 1}Q", view, _HEAD.size)
    text = view[start : start + lengths[0]]
    if zlib.crc32(text, zlib.crc32(view[_HEAD.size : start])) != checksum:
        raise CorruptDataError("truncated or changed: the checksum does not hold")
    position = start + lengths[0]
    buffers: list[memoryview] = []
    for length in lengths[1:]:
        position += -position % ALIGNMENT if not buffers else 0
        buffers.append(view[position : position + length])
        position += length + (-length % ALIGNMENT)
    if position + (-position % ALIGNMENT) != len(view):
        raise CorruptDataError(f"truncated or changed: {position} bytes are announced, {len(view)} are there")
    skeleton = json.loads(bytes(text), parse_constant=_no_constant)
    return _Decoder(buffers, copy).value(skeleton)


def _no_constant(text: str) -> NoReturn:
    raise CorruptDataError(f"{text} in the skeleton")


class _Decoder:
    def __init__(self, buffers: list[memoryview], copy: bool) -> None:
        self._buffers, self._copy = buffers, copy
        self._tags: dict[str, Callable[[Any], Any]] = {
            "d": lambda node: {key: self.value(each) for key, each in node.items()},
            "m": self._mapping,
            "t": lambda node: tuple([self.value(each) for each in node]),
            "b": lambda node: bytes(self._buffer(node)),
            "s": lambda node: bytes(self._buffer(node)).decode("utf-8", "surrogatepass"),
            "i": lambda node: int(node, 16),
            "f": lambda node: struct.unpack("<d", bytes.fromhex(node))[0],
            "c": lambda node: complex(*struct.unpack("<dd", bytes.fromhex(node))),
            "pd": lambda node: self._packed("d", node),
            "pq": lambda node: self._packed("q", node),
            "a": self._array,
            "n": lambda node: self._array(node)[()],
            "ns": lambda node: _numpy().str_(self.value(node)),
            "nb": lambda node: _numpy().bytes_(bytes(self._buffer(node))),
        }

    def value(self, node: Any) -> Any:
        kind = type(node)
        if kind is list:
            return [self.value(each) for each in node]
        if kind is not dict:
            return node
        ((tag, content),) = node.items()
        return self._tags[tag](content)

    def _buffer(self, index: Any) -> memoryview:
        if type(index) is not int or index < 0:
            raise CorruptDataError(f"buffer {index!r} does not exist")
        return self._buffers[index]

    def _mapping(self, node: list[Any]) -> dict[Any, Any]:
        values = [self.value(each) for each in node]
        return dict(zip(values[::2], values[1::2], strict=True))

    def _packed(self, code: str, index: Any) -> list[Any]:
        packed = array.array(code)
        packed.frombytes(self._buffer(index))
        return _little_endian(packed).tolist()

    def _array(self, node: Any) -> Any:
        numpy = _numpy()
        descr, shape, order, index = node
        if len(descr) > 100_000 or not all(type(size) is int and size >= 0 for size in shape):
            raise CorruptDataError("an array with an impossible shape or dtype")
        dtype = numpy.lib.format.descr_to_dtype(ast.literal_eval(descr))
        memory = self._buffer(index)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(memory):
            raise CorruptDataError(f"an array of {dtype} and shape {shape} in {len(memory)} bytes")
        if not len(memory):
            return numpy.empty(shape, dtype, order="F" if order == "F" else "C")
        # A copy of the memory, not of the array: the padding of structured arrays counts too.
        flat = numpy.frombuffer(bytearray(memory) if self._copy else memory, dtype)
        return flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)


def _numpy() -> Any:
    import numpy
    import numpy.lib.format

    return numpy
