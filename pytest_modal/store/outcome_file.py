"""The file of one outcome: an encoded header and an encoded value (see `pytest_modal.remote.data`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from pytest_modal.batch.outcomes import Load, Outcome
from pytest_modal.remote import data
from pytest_modal.remote.framing import Frame
from pytest_modal.store.shapes import check_shape


def read_outcome(path: Path) -> Outcome:
    """Read an outcome without its value.

    Raises
    ------
    CorruptDataError
        It is truncated, or not an outcome.
    """
    with path.open("rb") as stream:
        whole = Frame.size + sum(_lengths(stream))
    if path.stat().st_size != whole:
        raise data.CorruptDataError(f"{path} is truncated")
    header = check_shape(read_header(path), Outcome, "outcome")
    return Outcome(**{**header, "loads": [Load(**load) for load in header["loads"]]})


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
