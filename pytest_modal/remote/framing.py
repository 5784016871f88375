"""Framing of messages: two lengths, a header, a value."""

from __future__ import annotations

import struct
from typing import IO, Any

from pytest_modal.remote import data

Buffers = list[bytes | memoryview]
Frame = struct.Struct("<QQ")


def write_message(stream: IO[bytes], header: Any, value: Buffers | None = None) -> None:
    """Write a message: two lengths, an encoded header, and the bytes of a value."""
    head = data.encode(header, where="message")
    value = value or []
    stream.write(Frame.pack(_length(head), _length(value)))
    for buffer in [*head, *value]:
        stream.write(buffer)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[Any, bytes] | None:
    """Read a message, or None at the end of the stream."""
    lengths = stream.read(Frame.size)
    if len(lengths) < Frame.size:
        return None
    header, value = Frame.unpack(lengths)
    head, body = stream.read(header), stream.read(value)
    if len(head) < header or len(body) < value:
        return None
    return data.decode(head), body


def _length(buffers: Buffers) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)
