"""The pipes to a worker process, none of which is waited for longer than allowed."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any, cast

from pytest_modal.remote.data import CorruptDataError
from pytest_modal.remote.framing import read_message, write_message

LOOK_INTERVAL = 0.1  # seconds between two looks at the process
STALL_TIMEOUT = 5.0  # seconds without a byte, after the deadline, in the middle of a message
_MOST = 1 << 20  # bytes that are written or read at once


class Pipes:
    """Sends messages to a process and receives its messages.

    Parameters
    ----------
    process : Popen
        With pipes for its standard input and output.

    Attributes
    ----------
    ended : bool
        Whether the process says no more.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self._stdin, select.POLLOUT)
        self._readable.register(self._stdout, select.POLLIN)
        self._deadline = 0.0
        self._is_sending = False
        self.ended = False

    def send(self, message: object, deadline: float) -> bool:
        """Send a message; return whether the process has taken all of it, which a dead or a busy one may not."""
        # After part of a message nothing that is sent is understood.
        if self._is_sending or self._stdin.closed:
            return False
        self._is_sending = True
        self._deadline = deadline
        with contextlib.suppress(OSError):
            write_message(cast(IO[bytes], self), message)
            self._is_sending = False
        return not self._is_sending

    def receive(self, deadline: float, look: Callable[[], None] = lambda: None) -> tuple[Any, bytes] | None:
        """Return the next message; None when there is none until the deadline, or the process has ended."""
        while not self._stdout.closed:
            left = max(0.0, deadline - time.monotonic())
            if self._readable.poll(1000 * min(left, LOOK_INTERVAL)):
                self._deadline = deadline
                # What a call has written there is no message.
                with contextlib.suppress(CorruptDataError):
                    return read_message(cast(IO[bytes], self))
                return None
            if left <= LOOK_INTERVAL or self._process.poll() is not None:
                return None
            look()
        return None

    def close(self) -> None:
        """Close the pipes."""
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    # What the above need of a stream.

    def write(self, data: bytes | memoryview) -> None:
        """Write to the process before the deadline.

        Raises
        ------
        OSError
            It has ended, or doesn't read.
        """
        left = memoryview(data).cast("B")
        while left:
            if self._writable.poll(1000 * LOOK_INTERVAL):
                with contextlib.suppress(BlockingIOError):
                    left = left[os.write(self._stdin.fileno(), left[:_MOST]) :]
            elif time.monotonic() >= self._deadline:
                raise TimeoutError("the process doesn't read")
            elif self._process.poll() is not None:
                raise BrokenPipeError("the process has ended")

    def flush(self) -> None:
        """Nothing is buffered."""

    def read(self, size: int) -> bytes:
        """Read from the process; less at the end of the pipe, where the process has ended, or says no more.

        What the process has started can keep the pipe open.
        """
        taken, came = bytearray(), time.monotonic()
        while len(taken) < size:
            if self._readable.poll(1000 * LOOK_INTERVAL):
                piece = os.read(self._stdout.fileno(), min(size - len(taken), _MOST))
                if not piece:
                    self.ended = True
                    break
                taken += piece
                came = time.monotonic()
            elif self._process.poll() is not None or time.monotonic() > max(self._deadline, came) + STALL_TIMEOUT:
                break
        return bytes(taken)
