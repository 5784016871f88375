"""Runs of pytest in a terminal of some size, with what is to be seen on it at each moment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pexpect
import pyte

_SIZE = ("COLUMNS", "LINES")  # variables that would hide the size of the terminal


@dataclass
class Terminal:
    """A run in a terminal.

    Attributes
    ----------
    width, height : int
        Columns and rows.
    frames : list of list of str
        The lines of the screen after each piece of output, empty ones at the end left out.
    pieces : list of str
        The output, in the pieces in which it came.
    """

    width: int = 80
    height: int = 24
    frames: list[list[str]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    status: int | None = None
    seconds: float = 0.0

    def run(
        self,
        directory: Path,
        *options: str,
        until: Callable[[list[str]], bool] = lambda lines: False,
        environment: Mapping[str, str] | None = None,
        act: Callable[[pexpect.spawn[str]], None] = lambda child: None,
        **variables: str,
    ) -> Terminal:
        """Run pytest to its end; `act` once, when `until` holds for the screen."""
        screen = pyte.HistoryScreen(self.width, self.height, history=10_000)
        stream = pyte.Stream(screen)
        environment = {name: value for name, value in (environment or os.environ).items() if name not in _SIZE}
        started = time.monotonic()
        child = pexpect.spawn(
            sys.executable,
            ["-m", "pytest", "-p", "no:randomly", *options],
            cwd=directory,
            env={**environment, "TERM": "xterm-256color", **variables},
            dimensions=(self.height, self.width),
            encoding="utf-8",
            timeout=60,
        )
        acted = False
        while True:
            try:
                piece = child.read_nonblocking(100_000, timeout=60)
            except pexpect.EOF:
                break
            self.pieces.append(piece)
            stream.feed(piece)
            lines = [line.rstrip() for line in screen.display]
            while lines and not lines[-1]:
                lines.pop()
            self.frames.append(lines)
            if not acted and until(lines):
                acted = True
                act(child)
        child.close()
        self.status, self.seconds = child.exitstatus, time.monotonic() - started
        self.cursor_hidden = screen.cursor.hidden
        above = ["".join(row[column].data for column in range(self.width)).rstrip() for row in screen.history.top]
        self.lines = [*above, *self.frames[-1]]
        return self

    def shown(self, *words: str) -> list[str]:
        """Return the lines of the first moment at which all these words were on the screen."""
        for frame in self.frames:
            if all(any(word in line for line in frame) for word in words):
                return frame
        raise AssertionError(f"never seen together: {words}\n" + "\n".join(self.frames[-1]))

    def was_shown(self, word: str) -> bool:
        """Whether it was ever on the screen."""
        return any(word in line for frame in self.frames for line in frame)
