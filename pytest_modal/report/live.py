"""The live view of a running batch on a terminal; lines at intervals elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from pytest_modal._pytest_compat import has_colours
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.batch.quantities import whole
from pytest_modal.report.log_lines import LogLines, News, printed, said
from pytest_modal.report.running import Running
from pytest_modal.report.wrapping import WIDTH, columns, cut, wrapped
from pytest_modal.wording import count

if TYPE_CHECKING:
    from pytest_modal.report.terminal import Lines

# How a terminal fails: it is gone or closed, or has no such letters.
BROKEN = (OSError, ValueError)
INTERVAL = 0.25  # seconds between two looks at what is to be shown
MOST_CONTAINERS = 10  # that have a line
_DUMB = ("dumb", "unknown")

Span = tuple[str, str]  # text and its style


class Ticker(Protocol):
    """Shows what happens while the batch runs."""

    def progress(self, event: Progress) -> None: ...
    def outcome(self, outcome: Outcome) -> None: ...
    def tick(self) -> None: ...


@contextlib.contextmanager
def live(
    screen: Lines | None, running: Running, *, verbosity: int, plain: bool = False, alone: bool = False
) -> Iterator[Ticker]:
    """Show the progress of a batch: live on a terminal, else in lines; with ``-q`` nothing but what functions print.

    Parameters
    ----------
    plain : bool
        Write lines on a terminal too, because others write to it meanwhile.
    alone : bool
        Write nothing but at events: the terminal may be in use, by a debugger for example.
    """
    write = screen.write_line if screen is not None else _nothing
    view = None
    if screen is not None and verbosity >= 0 and not plain and not alone and is_live(sys.stdout):
        view = View(sys.stdout, running, colours=has_colours(screen))
    ticker = _Careful(running, view or LogLines(write, running, verbosity))
    clock = None if alone or screen is None or verbosity < 0 else _Clock(ticker.tick)
    try:
        yield ticker
    finally:
        if clock is not None:
            clock.stop()
        if view is not None:
            with contextlib.suppress(*BROKEN):
                view.close()


@contextlib.contextmanager
def planning(screen: Lines | None, tests: int) -> Iterator[None]:
    """Say on a terminal that tests are planned, as long as they are: their local fixtures may take a while."""
    said = screen is not None and tests > 0 and is_live(sys.stdout)
    if said:
        _draw(f"modal: planning {count(tests, 'GPU test')}")
    try:
        yield
    finally:
        if said:
            _draw("\r\x1b[2K")


def _draw(text: str) -> None:
    with contextlib.suppress(*BROKEN):
        sys.stdout.write(text)
        sys.stdout.flush()


def is_live(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which lines can be drawn again, with somebody before it."""
    # The view has letters of its own, and the names of tests have any.
    encoding = (stream.encoding or "").lower().replace("-", "")
    in_ci = os.environ.get("CI") or os.environ.get("BUILD_NUMBER")  # as pytest decides it
    dumb = os.environ.get("TERM", "").lower() in _DUMB
    return not (in_ci or dumb) and stream.isatty() and encoding.startswith("utf")


class _Careful:
    """Shows what another ticker does, in turn, until that fails: no display ends a batch."""

    def __init__(self, running: Running, ticker: Ticker) -> None:
        self._running, self._ticker = running, ticker
        self._lock = threading.RLock()
        self._works = True

    def progress(self, event: Progress) -> None:
        with self._lock:
            self._running.progress(event)
            self._show(lambda: self._ticker.progress(event))

    def outcome(self, outcome: Outcome) -> None:
        with self._lock:
            self._running.outcome(outcome)
            self._show(lambda: self._ticker.outcome(outcome))

    def tick(self) -> None:
        with self._lock:
            self._show(self._ticker.tick)

    def _show(self, show: Callable[[], None]) -> None:
        if self._works:
            try:
                show()
            except BROKEN:
                self._works = False


class _Clock:
    """Calls something at intervals, in a thread."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pytest-modal display", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._tick()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def _nothing(line: str, **markup: bool) -> None:
    """Write a line nowhere."""


class View:
    """Draws the state of a batch below what stays, and again only where it has changed.

    Parameters
    ----------
    colours : bool
        Whether pytest writes in colours.
    """

    def __init__(self, stream: TextIO, running: Running, *, colours: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._running = running
        self._console = Console(
            file=stream,
            force_terminal=True,
            force_interactive=True,
            color_system="standard" if colours else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._drawn: list[list[Span]] = []
        self._above: list[Span] = []  # lines that are still to be written
        self._news = News()

    def progress(self, event: Progress) -> None:
        """Have what stays written with the next look, so that many lines don't make the view flicker."""
        if event.printed is not None:
            self._above.append((printed(event), ""))
        elif event.stays:
            self._say(said(event))

    def outcome(self, outcome: Outcome) -> None:
        """Have written what the infrastructure failed with."""
        if message := self._news.of(outcome):
            self._say(message, "red")

    def _say(self, text: str, style: str = "") -> None:
        for line in text.splitlines():
            self._above += [(piece, style) for piece in wrapped(line, self._console.width)]

    def tick(self) -> None:
        """Draw what has changed, in one piece with the lines above it."""
        lines = picture(self._running, *self._console.size)
        changed = lines != self._drawn
        if changed:
            from rich.text import Text

            self._drawn = lines
            # The cursor stands in an empty line below, where there is room for the ^C that a terminal writes.
            drawn = [Text.assemble(*spans, no_wrap=True, overflow="crop") for spans in (*lines, [])]
            self._live.update(Text("\n", no_wrap=True, overflow="crop").join(drawn))
            self._live.start()
        # The console writes at the end of the block, all at once.
        with self._console:
            self._write()
            if changed:
                self._live.refresh()

    def _write(self) -> None:
        """Write the lines above the view."""
        if self._above:
            from rich.text import Text

            lines, self._above = self._above, []
            self._console.print(Text("\n").join(Text(line, style) for line, style in lines), soft_wrap=True)

    def close(self) -> None:
        """Leave nothing of it on the screen but the lines above it."""
        self._write()
        self._live.stop()


def picture(running: Running, width: int, height: int) -> list[list[Span]]:
    """Return what is shown of a batch as lines, of spans with a style.

    The last column stays free, because terminals differ in what they do there, and the last two lines.
    """
    width = max(1, width - 1)
    head, below = _head(running, width), _spent(running, width)
    room = min(MOST_CONTAINERS, height - 2 - len(head) - len(below))
    busy = _busy(running, width, room) if room > 0 else []
    return [*head, *busy, *below][: max(1, height - 2)]


def _head(running: Running, width: int) -> list[list[Span]]:
    spent = whole(running.seconds)
    counts = [(each, "red" if each.endswith(" failed") else "") for each in running.counts]
    first: list[Span] = [("modal: ", ""), (running.phase or "starting", "bold")]
    lines, room = [first], width - len(spent) - 2
    for index, (words, style) in enumerate(counts):
        between = "  " if len(lines) == 1 and not index else ", "
        if _length(lines[-1]) + len(between) + len(words) > room:
            lines.append([("  ", "")])
            between, room = "", width
        lines[-1] += [(between, ""), (words, style)]
    _to_the_right(first, spent, width)
    return [*lines, _bar(running, width)]


def _bar(running: Running, width: int) -> list[Span]:
    left = running.left
    room = min(60, width - (len(left) + 2 if left else 0))
    if room < 8:
        return [(cut(left, width), "")]
    full = room * running.done // max(1, running.total)
    spans = [("━" * full, "red" if running.failed else "green"), ("─" * (room - full), "dim")]
    return [*spans, (f"  {left}", "")] if left else spans


def _busy(running: Running, width: int, room: int) -> list[list[Span]]:
    now, every = time.monotonic(), running.busy
    shown = every if len(every) <= room else every[: room - 1]
    wide = max((columns(each.where) for each in shown), default=0)
    wide = min(wide, width // 3)
    lines = []
    for each in shown:
        spent = whole(now - each.since)
        where = cut(each.where, wide)
        before = f"  {where}{' ' * (wide - columns(where))}  " if wide else "  "
        does = cut(each.does, width - columns(before) - len(spent) - 2)
        line: list[Span] = [(before, "cyan"), (does, "")]
        _to_the_right(line, spent, width)
        lines.append(line)
    if len(every) > len(shown):
        lines.append([(cut(f"  ... and {len(every) - len(shown):,} more", width), "dim")])
    return lines


def _spent(running: Running, width: int) -> list[list[Span]]:
    """Return the lines about containers that are paid for."""
    cost = running.cost
    if cost is None:
        return []
    idle = len(running.containers) - len(running.busy)
    up = f"{count(len(running.containers), 'container')} up"
    line = f"{up}{f' ({idle:,} idle)' if idle else ''}; {cost.amount}: {cost.parts}"
    return [[(cut(each, width), "dim")] for each in wrapped(f"  {line}", width)]


def _length(spans: Sequence[Span]) -> int:
    return sum(columns(text) for text, _ in spans)


def _to_the_right(line: list[Span], text: str, width: int) -> None:
    """Put text at the right end of a line, where there is room: not further from it than on a usual terminal."""
    length = _length(line) + len(text)
    room = min(width, max(WIDTH - 1, length + 2)) - length
    if room >= 1:
        line.append((" " * room + text, "dim"))
