"""Packs and their replies as they travel: compressed where that spares both sides an upload.

Modal takes what is larger than `INLINE` as a blob: two more requests of the sender and two of the receiver, to a store
that its client has to load a library for.
"""

from __future__ import annotations

import zlib

from pytest_modal.remote.data import CorruptDataError
from pytest_modal.remote.framing import Buffers

INLINE = 8000  # bytes: Modal's 8 KiB, less what its client puts around them
MOST = 256 << 10  # bytes: of more, hardly any shrink to so little
_AS_IS, _COMPRESSED = b"\0", b"\1"


def compressed(parts: Buffers) -> bytes:
    """Return the parts of a message as one, behind a byte that says what they are."""
    size = sum(memoryview(part).nbytes for part in parts)
    if INLINE < size <= MOST:
        smaller = zlib.compress(b"".join(parts), 1)
        if len(smaller) < size:
            return _COMPRESSED + smaller
    return b"".join([_AS_IS, *parts])


def decompressed(sent: bytes) -> memoryview:
    """Return the message.

    Raises
    ------
    CorruptDataError
        It was not made by `compressed`.
    """
    form, message = sent[:1], memoryview(sent)[1:]
    if form == _AS_IS:
        return message
    # The sender may want to fill the memory here.
    decompressor = zlib.decompressobj()
    try:
        whole = decompressor.decompress(message, MOST + 1) if form == _COMPRESSED else b""
    except zlib.error as error:
        raise CorruptDataError(f"it can't be decompressed: {error}") from None
    if not decompressor.eof or decompressor.unused_data or len(whole) > MOST:
        raise CorruptDataError("it is truncated, or too large")
    return memoryview(whole)
