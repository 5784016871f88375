"""The standard streams of a call: passed on, and the last of them kept for the call's outcome."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any

KEPT_OUTPUT = 64 * 1024  # bytes of a call's output that go back: the last ones say what went wrong


def encodable(text: str) -> str:
    """Make text encodable; exception messages can hold anything."""
    # Not by its own method: the text of an exception can be of a class derived from str.
    return str.encode(text, "utf-8", "backslashreplace").decode()


class TeeBuffer(io.BufferedIOBase):
    """The bytes under a text stream: passed on to another stream, the last of them kept.

    Parameters
    ----------
    stream : text stream
        Where they go.
    name : str
        Name of the stream, as ``sys.stdout.name`` has it.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self.name = name
        self._stream = stream
        self._bytes = getattr(stream, "buffer", None)
        self._kept = bytearray()
        self._dropped = False

    @property
    def raw(self) -> TeeBuffer:
        """What writes without a buffer: nothing is buffered here."""
        return self

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def write(self, data: Any, /) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        written = memoryview(data).tobytes()
        self._kept += written
        if len(self._kept) > 2 * KEPT_OUTPUT:
            del self._kept[:-KEPT_OUTPUT]
            self._dropped = True
        if self._bytes is not None:
            self._bytes.write(written)
        else:
            self._stream.write(written.decode("utf-8", "backslashreplace"))
        self._stream.flush()
        return len(written)

    def flush(self) -> None:
        if not self.closed:
            self._stream.flush()

    def begin(self) -> None:
        """Forget what earlier calls have written."""
        self._kept.clear()
        self._dropped = False

    def text(self) -> str:
        """Return the last of what was written since `begin`."""
        last = bytes(self._kept[-KEPT_OUTPUT:])
        if self._dropped or len(self._kept) > KEPT_OUTPUT:
            # The cut may go through a character.
            start = next((number for number, byte in enumerate(last[:4]) if byte & 0xC0 != 0x80), 0)
            last = last[start:]
        return encodable(last.decode("utf-8", "backslashreplace"))


class _Captured:
    """One of the two streams while calls run.

    It is the same object in all calls: a handler of `logging` that a container fixture has made goes on to write to it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._original: Any = None
        self._buffer: TeeBuffer | None = None
        self._text: io.TextIOWrapper | None = None

    def begin(self) -> None:
        stream = getattr(sys, self._name)
        if self._text is None or self._original is not stream or not self._is_usable():
            self._original = stream
            self._buffer = TeeBuffer(stream, f"<{self._name}>")
            self._text = io.TextIOWrapper(
                self._buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True
            )
            vars(self._text)["mode"] = "w"
        assert self._buffer is not None
        self._buffer.begin()
        setattr(sys, self._name, self._text)

    def _is_usable(self) -> bool:
        """Undo what an earlier call may have done to the stream; return whether that is possible."""
        assert self._text is not None
        try:
            if self._text.buffer is not self._buffer or self._text.closed:
                return False
            self._text.reconfigure(
                encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False
            )
        except (ValueError, OSError):  # it was closed or detached
            return False
        return True

    def end(self) -> None:
        assert self._text is not None
        # A line without an end still belongs to this call.
        with contextlib.suppress(ValueError, OSError):
            self._text.flush()
        setattr(sys, self._name, self._original)

    def text(self) -> str:
        return self._buffer.text() if self._buffer is not None else ""


class Streams:
    """Captures ``sys.stdout`` and ``sys.stderr`` of the calls of a worker.

    Parameters
    ----------
    capture : bool
        Without it the streams stay as they are, and nothing is kept.
    """

    def __init__(self, *, capture: bool = True) -> None:
        self._streams = {name: _Captured(name) for name in ("stdout", "stderr")} if capture else {}

    @contextlib.contextmanager
    def captured(self) -> Iterator[None]:
        """Capture what is written in the block."""
        begun = []
        try:
            for stream in self._streams.values():
                stream.begin()
                begun.append(stream)
            yield
        finally:
            for stream in begun:
                stream.end()

    def text(self, name: str) -> str:
        """Return the last that was written to a stream in the last block."""
        return self._streams[name].text() if name in self._streams else ""
