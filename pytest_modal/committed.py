"""Reading of files that somebody else may have committed: regular ones, of bounded size, not through links."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 28  # of a text; arrays are in files of their own
# A pipe is opened without waiting for its other end.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_regular(path: Path, flags: int = NO_LINK) -> int:
    """Return the descriptor of a file that is open for reading.

    Raises
    ------
    OSError
        It can't be opened, or is not a regular file; its `strerror` is a sentence's end.
    """
    try:
        descriptor = os.open(path, _FLAGS | flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link") from None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file")


def read_regular(path: Path, most: int = MOST_BYTES, flags: int = NO_LINK) -> bytes:
    """Return the content of a file.

    Raises
    ------
    OSError
        It can't be read, is not a regular file, or is larger than `most` bytes.
    """
    with os.fdopen(open_regular(path, flags), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 20:,} MiB")
        return stream.read(size)


def first_line(path: Path, most: int = 1 << 20) -> str:
    """Return the first line of a text file.

    Raises
    ------
    OSError, ValueError
        It can't be read.
    """
    with os.fdopen(open_regular(path), "rb") as stream:
        return stream.readline(most).decode("utf-8")
