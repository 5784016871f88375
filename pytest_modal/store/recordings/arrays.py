"""Arrays beside a recording: an `.npz` without pickle, which `numpy.load` opens too.

Reading parses nothing that is in it: the header of each member follows from the JSON, byte for byte. Members are
stored, not compressed, so that reading takes no more memory than the file has.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Iterable
from typing import IO, Any, cast

from pytest_modal.remote import data
from pytest_modal.store.recordings.errors import Damage
from pytest_modal.wording import count

_DTYPE = re.compile(r"[<>|][biufcSUVMm]\d{1,10}(\[(?:[1-9]\d{0,8})?[a-zA-Zμ]{1,7}(/\d{1,9})?\])?")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal arrays make equal files
_PIECE = 1 << 20
_MOST_EMPTY = 1 << 20


def dtype_to_json(dtype: Any) -> Any:
    """Return the description of a dtype: a text such as "<f4", or a list of fields."""
    import numpy.lib.format

    with warnings.catch_warnings():
        # Metadata of a dtype is not part of the data.
        warnings.simplefilter("ignore")
        return _listed(numpy.lib.format.dtype_to_descr(dtype))


def _listed(description: Any) -> Any:
    return [_listed(each) for each in description] if isinstance(description, list | tuple) else description


def dtype_from_json(node: Any) -> Any:
    """Return the dtype of a description.

    Raises
    ------
    Damage
        No dtype has this description, or one whose values are objects.
    """
    import numpy.lib.format

    description = _description(node, 0)
    try:
        dtype = numpy.lib.format.descr_to_dtype(description)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise Damage(f"not the dtype of an array: {error}") from None
    if dtype.hasobject or dtype_to_json(dtype) != node:
        raise Damage(f"not the dtype of an array: {str(node)[:100]}")
    return dtype


def _description(node: Any, depth: int) -> Any:
    if type(node) is str and _DTYPE.fullmatch(node):
        return node
    if type(node) is not list or depth > 20:
        raise Damage(f"not the dtype of an array: {str(node)[:100]}")
    fields = []
    for field in node:
        if type(field) is not list or len(field) not in (2, 3):
            raise Damage("a field of a dtype is [name, dtype] or [name, dtype, shape]")
        name = tuple(field[0]) if type(field[0]) is list else field[0]
        shape = [tuple(shape_from_json(field[2]))] if len(field) == 3 else []
        fields.append((name, _description(field[1], depth + 1), *shape))
    return fields


def shape_from_json(node: Any) -> list[int]:
    """Return a shape, checked."""
    if type(node) is not list or len(node) > 64 or not all(type(size) is int and 0 <= size < 1 << 62 for size in node):
        raise Damage(f"not a shape: {str(node)[:100]}")
    return node


def is_plain(dtype: Any) -> bool:
    """Whether a description is complete: not for unions, for fields out of order, for aligned structures."""
    import numpy

    try:
        again = dtype_from_json(dtype_to_json(dtype))
    except (Damage, ValueError, TypeError):
        return False
    one, other = (data.digest(data.encode(numpy.empty(0, each))) for each in (dtype, again))
    return one == other


def size_of(dtype: Any, shape: list[int]) -> int:
    """Return the bytes of an array."""
    if dtype.itemsize == 0 and math.prod(shape) > _MOST_EMPTY:
        raise Damage(f"an array of shape {tuple(shape)} whose items have no size")
    return math.prod(shape) * int(dtype.itemsize)


def is_fortran(array: Any) -> bool:
    """Whether an array's memory is in Fortran's order, and only in that."""
    return bool(array.flags.f_contiguous and not array.flags.c_contiguous)


def memory_of(array: Any) -> Any:
    """Return the bytes of an array in its order, copied only where they are not in one piece."""
    import numpy

    flat = numpy.ascontiguousarray(array.T if is_fortran(array) else array).reshape(-1)
    return flat.view(numpy.uint8).data if flat.nbytes else memoryview(b"")


def array_of(dtype: Any, shape: list[int], fortran: bool, memory: bytearray) -> Any:
    """Return the array that has these bytes."""
    import numpy

    if len(memory) != size_of(dtype, shape):
        raise Damage(f"an array of {dtype} and shape {tuple(shape)} can't have {count(len(memory), 'byte')}")
    if not memory:
        return numpy.empty(shape, dtype, order="F" if fortran else "C")
    flat = numpy.frombuffer(memory, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def npy_header(description: Any, shape: list[int], fortran: bool) -> bytes:
    """Return the header of a member.

    The format is numpy's: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    text = f"{{'descr': {_literal(description)!r}, 'fortran_order': {fortran!r}, 'shape': {tuple(shape)!r}, }}"
    version, length_bytes, encoded = (1, 2, text.encode("latin1", "replace"))
    if len(encoded) > 60_000:
        version, length_bytes = 2, 4
    if encoded.decode("latin1") != text:
        version, length_bytes, encoded = 3, 4, text.encode("utf-8", "backslashreplace")
    padding = -(8 + length_bytes + len(encoded) + 1) % 64
    length = (len(encoded) + padding + 1).to_bytes(length_bytes, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + encoded + b" " * padding + b"\n"


def _literal(description: Any) -> Any:
    if not isinstance(description, list):
        return description
    return [
        tuple(
            tuple(part) if isinstance(part, list) and place != 1 else _literal(part) for place, part in enumerate(field)
        )
        for field in description
    ]


def write_npz(stream: IO[bytes], arrays: Iterable[tuple[str, Any]]) -> None:
    """Write named arrays; the same arrays make the same file."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays:
            header = npy_header(dtype_to_json(array.dtype), list(array.shape), is_fortran(array))
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            with archive.open(info, "w", force_zip64=array.nbytes > 1 << 30) as member:
                member.write(header)
                member.write(memory_of(array))


class ArrayFile:
    """The members of an `.npz`, each to be taken once.

    Parameters
    ----------
    stream : binary file
        Seekable.
    size : int
        Its size in bytes: members that claim more are damage.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        try:
            self._archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, LookupError) as error:
            raise Damage(f"not an .npz file: {error}") from None
        members = self._archive.infolist()
        self._left = {member.filename: member for member in members}
        if len(self._left) != len(members):
            raise Damage("two arrays have the same name")
        stored = all(each.compress_type == zipfile.ZIP_STORED and not each.flag_bits & 1 for each in members)
        if not stored or sum(max(each.file_size, each.compress_size) for each in members) > size:
            raise Damage("the arrays would be larger than their file")

    def take(self, name: str, description: Any, shape: list[int], fortran: bool) -> Any:
        """Return an array, which can be taken once."""
        dtype = dtype_from_json(description)
        info, header = self._left.pop(f"{name}.npy", None), npy_header(description, shape, fortran)
        if info is None:
            raise Damage(f"the array {name!r} is not in the .npz file, or is used twice")
        size = size_of(dtype, shape)
        if info.file_size != len(header) + size:
            raise Damage(f"the array {name!r} has {count(info.file_size, 'byte')}, not {len(header) + size:,}")
        memory = bytearray(size)
        try:
            with cast(zipfile.ZipExtFile, self._archive.open(info)) as member:
                if member.read(len(header)) != header:
                    raise Damage(f"the array {name!r} is not the one that the JSON describes")
                view = memoryview(memory)
                while view and (taken := member.readinto(view[:_PIECE])):
                    view = view[taken:]
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, Damage):
                raise
            raise Damage(f"the array {name!r} can't be read: {error}") from None
        if view:
            raise Damage(f"the array {name!r} is truncated")
        return array_of(dtype, shape, fortran, memory)

    def close(self) -> None:
        """Check that everything was taken."""
        if self._left:
            raise Damage(f"the .npz file has an unused member {next(iter(self._left))!r}")
