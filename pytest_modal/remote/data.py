"""The data boundary: what is data, and how it travels, both ways, without pickle.

The encoding is JSON followed by the memory of arrays, bytes and long lists of numbers. Nothing in it can be
executed. Standard library only, numpy where a payload holds arrays: the file travels into containers as it is.

Layout: magic, crc32 and length of the JSON (little-endian), the JSON, then blocks of memory in the order in
which the JSON refers to them; each part begins at a multiple of 16 bytes. A value that JSON does not have is an
object whose only key is a tag, ``{"$tuple": [1, 2]}``. A tag takes the next block, so no block can be used twice.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_modal.remote.converted import fields_of, tensor_to_array
from pytest_modal.remote.dtypes import describe, dtype_of, load_numpy, value_bytes
from pytest_modal.remote.not_data import RefusedError, type_name, way_in, way_out

MAGIC = b"PMDATA1\n"
ALIGNMENT = 16
MAX_DEPTH = 200
MAX_EMPTY = 1 << 20  # items of an array that take no memory: nothing else bounds their number
PACKED_FROM = 16  # values in a list or dict: fewer are not worth the search for what they have in common
_HEAD = struct.Struct("<8sQQ8x")
_INT64 = range(-(1 << 63), 1 << 63)
_AS_IS = frozenset({str, bool, type(None)})
_KEYS = _AS_IS | {int, float, complex, bytes}
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


class NotDataError(TypeError):
    """A value is not data.

    Attributes
    ----------
    path, type_name, hint : str
        Where inside the value, such as ``answers[3]["logits"]``; what is there; the usual way out.
    """

    def __init__(self, path: str, type_name: str, hint: str) -> None:
        super().__init__(f"{path}: {type_name} is not data; {hint}")
        self.path, self.type_name, self.hint = path, type_name, hint


class CorruptDataError(ValueError):
    """Bytes are not a whole and valid encoding."""


def encode(
    value: Any, where: str = "value", *, argument: str = "", notes: list[str] | None = None
) -> list[bytes | memoryview]:
    """Encode a value.

    Parameters
    ----------
    value : data
        See *What is data* in the documentation. Torch tensors become arrays (bfloat16 and float8 as float32);
        dataclasses and the outputs of transformers' models become dicts, without the cache of a model.
    where : str
        Name of the value in errors.
    argument : str
        The parameter that the value is for: then nothing is converted, so that it arrives as it is here, and a
        refusal says how to pass it, not how to return it.
    notes : list of str
        Takes what was left out.

    Returns
    -------
    list of bytes or memoryview
        Buffers whose concatenation is the encoding, always the same for the same value. The memory of arrays
        is not copied: it must not change while the buffers are in use.

    Raises
    ------
    NotDataError
        Something inside is not data.
    """
    encoder = _Encoder(converts=not argument)
    try:
        text = _json.encode(encoder.node(value)).encode("utf-8", "surrogatepass")
    except RefusedError as refused:
        path = "".join([where, *reversed(refused.segments)]).encode("utf-8", "backslashreplace").decode()
        path = path if len(path) <= 200 else f"{path[:120]}...{path[-60:]}"
        name = path.replace(where, argument, 1) if argument else path
        remedy = (refused.way_in if argument else refused.way_out).replace("{}", name if len(name) < 60 else "it")
        raise NotDataError(path, refused.type_name, remedy) from None
    except RecursionError:
        raise NotDataError(where, type_name(type(value)), "it is nested too deeply for Python's stack") from None
    if notes is not None:
        notes += [f"{where}: {note}" for note in dict.fromkeys(encoder.notes)]
    head = _HEAD.pack(MAGIC, zlib.crc32(text), len(text))
    return [head + text + bytes(-len(text) % ALIGNMENT), *encoder.blocks]


def resealed(encoded: bytearray) -> bytes:
    """Return an encoding with the checksum of the text that it has now."""
    magic, _, length = _HEAD.unpack(encoded[: _HEAD.size])
    encoded[: _HEAD.size] = _HEAD.pack(magic, zlib.crc32(encoded[_HEAD.size : _HEAD.size + length]), length)
    return bytes(encoded)


def digest(buffers: Iterable[bytes | memoryview]) -> str:
    """Return the content hash of an encoding, 40 hexadecimal digits."""
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
        Copy every array into its own writable memory. Otherwise arrays are views of `buffer`.

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
        return _Decoder(memoryview(buffer).cast("B"), copy).value()
    except (CorruptDataError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise CorruptDataError(f"not a valid encoding: {type(error).__name__}: {error}") from None


class _Encoder:
    def __init__(self, *, converts: bool) -> None:
        self._converts = converts
        self.blocks: list[bytes | memoryview] = []
        self.notes: list[str] = []
        self._open: set[int] = set()  # ids of the containers around the present value

    def node(self, value: Any) -> Any:
        """Return the JSON of a value."""
        kind = type(value)
        if kind in _AS_IS:
            return value
        if kind is int:
            return value if value in _INT64 else {"$int": f"{value:x}"}
        if kind is float:
            return value if math.isfinite(value) else {"$float": struct.pack("<d", value).hex()}
        if kind is complex:
            return {"$complex": struct.pack("<2d", value.real, value.imag).hex()}
        if kind is bytes:
            return {"$bytes": self._block(value)}
        if id(value) in self._open:
            raise RefusedError(type_name(kind), "it contains itself")
        if len(self._open) >= MAX_DEPTH:
            raise RefusedError(type_name(kind), f"it is nested deeper than {MAX_DEPTH} levels")
        self._open.add(id(value))
        if kind is list or kind is tuple:
            node = self._list(value, range(len(value)))
            node = {"$tuple": node} if kind is tuple else node
        elif kind is dict:
            node = self._dict(value)
        else:
            node = self._other(value, kind)
        self._open.remove(id(value))
        return node

    def _block(self, memory: bytes | memoryview) -> int:
        view = memoryview(memory)
        self.blocks += [part for part in (view, bytes(-view.nbytes % ALIGNMENT)) if len(part)]
        return view.nbytes

    def _list(self, values: Sequence[Any], names: Sequence[Any]) -> Any:
        kinds = set(map(type, values))
        if kinds <= _AS_IS:
            return values
        if len(kinds) == 1 and len(values) >= PACKED_FROM and (packed := self._packed(values, *kinds)):
            return packed
        nodes: list[Any] = []
        try:
            for value in values:
                nodes.append(self.node(value))  # noqa: PERF401 - a comprehension would cost a level of Python's stack
        except RefusedError as refused:
            refused.segments.append(f"[{_short(names[len(nodes)])}]")
            raise
        return nodes

    def _packed(self, values: Sequence[Any], kind: type) -> Any:
        if kind is float:
            return {"$floats": self._block(struct.pack(f"<{len(values)}d", *values))}
        if kind is int and min(values) in _INT64 and max(values) in _INT64:
            return {"$ints": self._block(struct.pack(f"<{len(values)}q", *values))}
        if kind is dict:
            return self._rows(values)
        dtype = values[0].dtype if issubclass(kind, _types("numpy", "generic")) else None
        if dtype is not None and dtype.type is kind and dtype.kind in "biufc":
            return {"$scalars": self._array(load_numpy().array(values, dtype))}
        return None

    def _rows(self, rows: Sequence[dict[Any, Any]]) -> Any:
        # The rows of a table: by columns it is smaller, and several times faster.
        names = list(rows[0])
        if set(map(type, itertools.chain(*rows))) != {str} or any(list(row) != names for row in rows):
            return None
        columns = []
        for name in names:
            try:
                columns.append(self._list([row[name] for row in rows], range(len(rows))))
            except RefusedError as refused:
                refused.segments.insert(-1, f"[{_short(name)}]")
                raise
        return {"$rows": [names, *columns]}

    def _dict(self, value: dict[Any, Any]) -> Any:
        keys, values = list(value), list(value.values())
        if set(map(type, keys)) <= {str} and len(keys) < PACKED_FROM and not (len(keys) == 1 and keys[0][:1] == "$"):
            return dict(zip(keys, self._list(values, keys), strict=True))
        for key in itertools.filterfalse(_is_key, keys):
            remedy = way_out(key, type(key)).replace("{}", "key")
            raise RefusedError(f"dict key of type {type_name(type(key))}", remedy)
        return {"$dict": [self._list(keys, keys), self._list(values, keys)]}

    def _other(self, value: Any, kind: type) -> Any:
        if kind is _types("numpy", "ndarray"):
            return self._array(value)
        if isinstance(value, _types("numpy", "generic")) and kind is value.dtype.type:
            if isinstance(value, str):  # as an array, text would lose its trailing NULs
                return {"$str_": str.__str__(value)}
            if isinstance(value, bytes):
                return {"$bytes_": bytes(value).hex()}
            return {"$scalar": self._array(load_numpy().array(value, value.dtype))}
        if isinstance(value, _types("torch", "Tensor")):
            array = tensor_to_array(value)  # says it if it has no array form
            if self._converts:
                return self._array(array)
        if self._converts and (fields := fields_of(value, self.notes)) is not None:
            return self._dict(fields)
        raise RefusedError(type_name(kind), way_out(value, kind), way_in(value, kind))

    def _array(self, array: Any) -> Any:
        dtype, order = array.dtype, "F" if array.flags.fnc else "C"
        spec = describe(dtype)
        if array.nbytes:
            memory = load_numpy().ascontiguousarray(array.reshape(-1, order=order)).view("u1")
            if dtype.names is not None or dtype.char in "gG":
                # The bytes between fields and behind long doubles are undefined.
                mask = value_bytes(dtype)
                memory = memory if mask.all() else (memory.reshape(-1, dtype.itemsize) & mask).reshape(-1)
            self._block(memory.data)
        return {"$array": [spec, list(array.shape), order]}


class _Decoder:
    def __init__(self, view: memoryview, copy: bool) -> None:
        self._view, self._copy, self._position = view, copy, 0
        self._tags: dict[str, Callable[[Any], Any]] = {
            "$int": lambda text: int(text, 16),
            "$float": lambda text: struct.unpack("<d", bytes.fromhex(text))[0],
            "$complex": lambda text: complex(*struct.unpack("<2d", bytes.fromhex(text))),
            "$bytes": lambda length: bytes(self._take(length)),
            "$tuple": lambda items: tuple(_expect(list, items)),
            "$dict": lambda pair: dict(zip(*(_expect(list, each) for each in pair), strict=True)),
            "$rows": self._rows,
            "$floats": lambda length: list(struct.unpack(f"<{length // 8}d", self._take(length))),
            "$ints": lambda length: list(struct.unpack(f"<{length // 8}q", self._take(length))),
            "$array": self._array,
            "$scalar": lambda array: array[()],
            "$scalars": lambda array: list(load_numpy().frombuffer(array, array.dtype)),
            "$str_": lambda text: load_numpy().str_(text),
            "$bytes_": lambda text: load_numpy().bytes_(bytes.fromhex(text)),
        }

    def value(self) -> Any:
        magic, checksum, length = _HEAD.unpack(self._take(_HEAD.size))
        if magic != MAGIC:
            raise CorruptDataError("not an encoding of this library: wrong first bytes")
        text = self._take(length)
        if zlib.crc32(text) != checksum:
            raise CorruptDataError("truncated or changed: the checksum does not match")
        # Blocks are taken while the JSON is read: innermost first, the order in which they were written.
        value = json.loads(bytes(text).decode("utf-8", "surrogatepass"), object_hook=self._object)
        if self._position != len(self._view):
            raise CorruptDataError(f"{len(self._view):,} bytes, {self._position:,} used")
        return value

    def _object(self, node: dict[str, Any]) -> Any:
        if len(node) != 1 or not (tag := next(iter(node))).startswith("$"):
            return node
        return self._tags[tag](node[tag])

    def _take(self, length: Any) -> memoryview:
        start = self._position
        end = start + _expect(int, length)
        self._position = end + -end % ALIGNMENT
        if length < 0 or self._position > len(self._view):
            where = f"at {start:,} of {len(self._view):,}"
            raise CorruptDataError(f"truncated or changed: {length:,} bytes announced {where}")
        return self._view[start:end]

    def _rows(self, content: Any) -> list[dict[str, Any]]:
        names, *columns = (_expect(list, each) for each in content)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _array(self, content: Any) -> Any:
        spec, shape, order = content
        dtype = dtype_of(spec)
        memory = self._take(_items(shape) * dtype.itemsize)
        if not dtype.itemsize:
            _items([*shape, *dtype.shape], MAX_EMPTY)
        array = load_numpy().ndarray(shape, dtype, memory or bytearray(), order=order)
        return array.copy(order) if self._copy and memory else array  # copies of no memory may have another dtype


def _expect(kind: type, content: Any) -> Any:
    if type(content) is not kind:
        raise CorruptDataError(f"expected {type_name(kind)}, found {type_name(type(content))}")
    return content


def _items(shape: Any, most: int = _INT64.stop) -> int:
    """Return how many items an array has; numpy itself takes negative sizes, and divides by their product."""
    sizes = [_expect(int, size) for size in _expect(list, shape)]
    number: int = math.prod(sizes)
    if number > most or any(size < 0 for size in sizes):
        raise CorruptDataError(f"not the shape of an array: {str(shape)[:60]}")
    return number


def _is_key(key: Any) -> bool:
    # Tensors and frozen dataclasses are hashable, but not what they are converted to.
    kind = type(key)
    if kind is tuple:
        return all(map(_is_key, key))
    return kind in _KEYS or (issubclass(kind, _types("numpy", "generic")) and kind is not _types("numpy", "void"))


def _short(key: Any) -> str:
    text = json.dumps(key, ensure_ascii=False) if type(key) is str else repr(key)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _types(library: str, name: str) -> Any:
    """Return a type of a library; an empty tuple where the library is not imported, so that no value is of it."""
    return getattr(sys.modules.get(library), name, ())
