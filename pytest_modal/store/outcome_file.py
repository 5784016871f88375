"""The file of one outcome: an encoded header, an encoded value (see `pytest_modal.remote.data`), and their digest."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pytest_modal.batch.calls import Buffers
from pytest_modal.batch.outcomes import Load, Outcome
from pytest_modal.remote import data
from pytest_modal.remote.framing import Frame, message_buffers
from pytest_modal.store.shapes import check_shape

_DIGEST_BYTES = 20
_LISTS = ("loads", "lost_files", "warnings", "fallen")  # in a file; in memory tuples, which are nearly always empty


def write_outcome(path: Path, outcome: Outcome, value: Buffers) -> None:
    """Write an outcome and its encoded value."""
    hashed, header = _hash(), dataclasses.asdict(outcome)
    header.update((name, [*header[name]]) for name in _LISTS)
    with path.open("wb") as stream:
        for buffer in message_buffers(header, [*value]):
            stream.write(buffer)
            hashed.update(buffer)
        stream.write(hashed.digest())


def check_whole(path: Path) -> None:
    """Read all of an outcome, and compare it with its digest.

    Raises
    ------
    CorruptDataError
        Something in it has changed since it was written.
    """
    with path.open("rb") as stream:
        hashed, left = _hash(), path.stat().st_size - _DIGEST_BYTES
        while left > 0 and (read := stream.read(min(left, 1 << 20))):
            hashed.update(read)
            left -= len(read)
        if stream.read() != hashed.digest():
            raise data.CorruptDataError(f"{path} is damaged")


def read_outcome(path: Path) -> Outcome:
    """Read an outcome without its value.

    Raises
    ------
    CorruptDataError
        It is truncated, or not an outcome.
    """
    with path.open("rb") as stream:
        whole = Frame.size + sum(_lengths(stream)) + _DIGEST_BYTES
    if path.stat().st_size != whole:
        raise data.CorruptDataError(f"{path} is truncated")
    header = read_header(path)
    if isinstance(header, dict):
        header.update((name, tuple(header[name])) for name in _LISTS if isinstance(header.get(name), list))
    check_shape(header, Outcome, "outcome")
    return Outcome(**{**header, "loads": tuple(Load(**load) for load in header["loads"])})


def read_value(path: Path) -> bytes:
    """Read the encoded value of an outcome."""
    with path.open("rb") as stream:
        header, value = _lengths(stream)
        stream.seek(header, os.SEEK_CUR)
        body = stream.read(min(value, path.stat().st_size))
    if len(body) < value:
        raise data.CorruptDataError(f"{path} is truncated")
    return body


def read_header(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as stream:
        length, _ = _lengths(stream)
        header: Mapping[str, Any] = data.decode(stream.read(min(length, path.stat().st_size)))
    return header


def _lengths(stream: IO[bytes]) -> tuple[int, int]:
    packed = stream.read(Frame.size)
    if len(packed) < Frame.size:
        raise data.CorruptDataError("an outcome is truncated")
    header, value = Frame.unpack(packed)
    return header, value


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)
