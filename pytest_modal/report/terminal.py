"""The lines before the batch, the live progress, and the terminal summary."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TextIO

from pytest_modal._pytest_compat import start_section
from pytest_modal.batch.calls import Batch
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.report.failures import pointers
from pytest_modal.store.results import Results
from pytest_modal.wording import count, safe, safe_line

# How a terminal fails: it is gone or closed, or has no such letters.
_BROKEN = (OSError, ValueError)
WIDTH = 80  # columns of a usual terminal, and pytest's own where there is none


class Lines(Protocol):
    """Takes lines: pytest's terminal reporter, or in a worker of pytest-xdist what passes them to it."""

    def write_line(self, line: str, **markup: bool) -> None: ...


class Screen(Lines, Protocol):
    """The methods of pytest's terminal reporter that are used."""

    def section(self, title: str, sep: str = "=", **markup: bool) -> None: ...


def size(number: float) -> str:
    """Return bytes in a unit that people read."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


def announce(screen: Lines, where: str, batch: Batch) -> None:
    """Write in one line where the batch runs, so that nobody takes a mock for a GPU run; nothing for an empty one."""
    if not batch.calls:
        return
    line = f"modal: {where}: {count(len(batch.calls), 'call')} for {count(batch.tests, 'test')}"
    details = [count(len(batch.environments), "environment")]
    details += [count(len(batch.containers), "container fixture")] if batch.containers else []
    for detail in details:
        # It is read at a glance; the summary and --modal-plan have the rest.
        if len(line) + len(detail) + 2 > WIDTH:
            break
        line += f", {detail}"
    screen.write_line(line)


def warn(screen: Lines, lines: Sequence[str]) -> None:
    """Write the warnings, before anything runs."""
    for line in lines:
        screen.write_line(line, yellow=True)


def skipped_before(conditions: Counter[str]) -> list[str]:
    """Return the line about the conditions that have skipped GPU tests, which are not in the batch; none without."""
    return [f"modal: {_skipped(conditions)} before the batch: {_reasons(conditions)}"] if conditions else []


def summarize_skipped(screen: Lines, reasons: Counter[str]) -> None:
    """Write into the summary how many GPU tests were skipped, and why."""
    if reasons:
        screen.write_line(f"{_skipped(reasons)}: {_reasons(reasons)}", yellow=True)


def _skipped(reasons: Counter[str]) -> str:
    return f"{count(reasons.total(), 'GPU test')} skipped"


def _reasons(reasons: Counter[str]) -> str:
    # Reports of several workers come in any order.
    ranked = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f'"{safe_line(reason, 100)}" ({number:,})' for reason, number in ranked)


class Ticker(Protocol):
    """Shows what happens while the batch runs."""

    def progress(self, event: Progress) -> None: ...
    def outcome(self, outcome: Outcome) -> None: ...


@contextlib.contextmanager
def live(screen: Lines | None, batch: Batch, *, verbosity: int, plain: bool = False) -> Iterator[Ticker]:
    """Show a live line on a terminal, with ``-q`` none; plain lines elsewhere, or where functions have the terminal."""
    write = screen.write_line if screen is not None and verbosity >= 0 else _nothing
    ticker: Ticker = _Lines(write, batch, verbosity > 0)
    with contextlib.ExitStack() as stack:
        if screen is not None and not plain and _is_live(sys.stdout):
            with contextlib.suppress(*_BROKEN):
                ticker = stack.enter_context(_live_line(batch))
        try:
            yield _Careful(ticker)
        finally:
            with contextlib.suppress(*_BROKEN):
                stack.close()


def _is_live(stream: TextIO) -> bool:
    # The live line has letters of its own, and the names of tests have any.
    encoding = (stream.encoding or "").lower().replace("-", "")
    return stream.isatty() and encoding.startswith("utf")


class _Careful:
    """Shows what another ticker does until that fails: no display ends a batch."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._works = True

    def progress(self, event: Progress) -> None:
        self._show(lambda: self._ticker.progress(event))

    def outcome(self, outcome: Outcome) -> None:
        self._show(lambda: self._ticker.outcome(outcome))

    def _show(self, show: Callable[[], None]) -> None:
        if self._works:
            try:
                show()
            except _BROKEN:
                self._works = False


def _nothing(line: str) -> None:
    """Write a line nowhere."""


class _Lines:
    """A line for each model load and each tenth of the calls, which a log can hold."""

    def __init__(self, write: Callable[[str], None], batch: Batch, verbose: bool) -> None:
        self._write, self._batch, self._verbose = write, batch, verbose
        self._done = self._failed = 0
        self._messages = set[str]()

    def progress(self, event: Progress) -> None:
        if event.printed is not None:
            self._write(_printed(event))
        elif event.what != "running" or self._verbose:
            self._write(f"modal: {event.what} {safe(event.label)}")

    def outcome(self, outcome: Outcome) -> None:
        total = len(self._batch.calls)
        before, self._done = self._done, self._done + 1
        self._failed += outcome.failed
        if outcome.status == "infrastructure":
            # One cause can fail many calls; it is shown once.
            _, message, _ = _failure(outcome)
            if message not in self._messages:
                self._write(f"modal: {safe(message)}")
            self._messages.add(message)
        elif self._verbose or self._done * 10 // total > before * 10 // total:
            failed = f", {self._failed:,} failed" if self._failed else ""
            self._write(f"modal: {self._done:,}/{count(total, 'call')} done{failed}")


def _printed(event: Progress) -> str:
    return safe(f"{event.label} | {event.printed}")


@contextlib.contextmanager
def _live_line(batch: Batch) -> Iterator[Ticker]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    class Live:
        def __init__(self, bar: Bar) -> None:
            self._bar = bar
            self._task = bar.add_task("starting", total=len(batch.calls), loads=0, failed="")
            self._failed = self._loads = 0

        def progress(self, event: Progress) -> None:
            if event.printed is not None or event.stays:
                line = _printed(event) if event.printed is not None else f"modal: {event.what} {safe(event.label)}"
                self._bar.console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)
                return
            self._bar.update(self._task, description=escape(f"{event.what} {safe(event.label)}"[:60]))

        def outcome(self, outcome: Outcome) -> None:
            self._loads += len(outcome.loads)
            self._failed += outcome.failed
            failed = f"[red]{self._failed:,} failed" if self._failed else ""
            self._bar.update(self._task, advance=1, loads=f"{self._loads:,}", failed=failed)

    columns = (
        SpinnerColumn(),
        TextColumn("modal:"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("calls, {task.fields[loads]} model loads {task.fields[failed]}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=Console(file=sys.stdout), transient=True) as bar:
        yield Live(bar)


def summarize(screen: Screen, results: Results | None, artifacts: Sequence[Any], index: str, *, quiet: bool) -> None:
    """Write the terminal summary of a run; with `quiet`, leave out what went as usual."""
    start_section(screen, "modal")
    if results is not None:
        _summarize_calls(screen, results, quiet=quiet)
    if artifacts:
        shown = [] if quiet else artifacts[:20]
        screen.write_line(f"{count(len(artifacts), 'artifact')}, listed in {index}{':' if shown else ''}")
        for artifact in shown:
            screen.write_line(f"  {artifact['path']} ({size(artifact['bytes'])})")
        if shown and len(artifacts) > len(shown):
            screen.write_line(f"  ... and {len(artifacts) - len(shown):,} more")


def has_news(results: Results) -> bool:
    """Whether there is something to sum up: a run that sent nothing has no summary."""
    run = results.run
    return bool(run.labels or run.notes or run.error or run.mode == "skip")


def reused(results: Results) -> str:
    """Return how many calls are reused from earlier runs, and how many are left, as a line."""
    total, taken = len(results.run.labels), len(results.run.reused)
    return f"{taken:,} of {count(total, 'call')} reused from earlier runs, {total - taken:,} to run"


def _summarize_calls(screen: Screen, results: Results, *, quiet: bool) -> None:
    run, outcomes = results.run, list(results.outcomes.values())
    devices = dict.fromkeys(outcome.device for outcome in outcomes if outcome.device)
    dates = sorted(outcome.recorded[:10] for outcome in outcomes if outcome.recorded)
    when = f", recorded {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    screen.write_line(f"mode: {run.mode}; device: {', '.join(devices) or 'none'}{when}")
    if run.seed:
        screen.write_line(f"seed: {run.seed}")
    for app in run.apps:
        of = "" if len(run.apps) == 1 else f" of round {(app.round or 0) + 1}"
        screen.write_line(f"session{of}: {app.id}; {app.url or ''}".rstrip("; "))
    for note in run.notes:
        screen.write_line(safe(note), yellow=True)
    if not run.labels:
        return
    statuses = Counter(outcome.status for outcome in outcomes)
    failed = "".join(f", {number:,} {status}" for status, number in sorted(statuses.items()) if status != "ok")
    missing = len(run.labels) - len(outcomes)
    failed += f", {missing:,} missing" if missing else ""
    ran = [outcome for outcome in outcomes if outcome.key not in run.reused and not outcome.recorded]
    # Those that ended under a call count too.
    containers = {name for outcome in ran for name in (outcome.container, *outcome.fallen) if name}
    screen.write_line(
        f"{count(len(run.labels), 'call')} in {count(run.environments, 'environment')} "
        f"and {count(len(containers), 'container')}: {statuses['ok']:,} ok{failed}; "
        f"{size(sum(outcome.value_bytes for outcome in outcomes))} of results"
    )
    if run.reused:
        screen.write_line(f"resumed: {reused(results)}")
    if run.cost is not None:
        screen.write_line(f"cost: {run.cost}; {run.cost.prices}")
    _summarize_failures(screen, results)
    if quiet:
        return
    loads = [load for outcome in ran for load in outcome.loads]
    _summarize_loads(screen, "loaded", [(load.label, load.container, load.seconds) for load in loads])
    failed_loads = [outcome for outcome in ran if outcome.container_key is not None]
    wasted = [(each.phase.removeprefix("load "), each.container, each.seconds) for each in failed_loads]
    _summarize_loads(screen, "did not load", wasted)
    phases = {
        "planning": run.seconds.get("plan", 0.0),
        "model loads": sum(load.seconds for load in loads) + sum(each.seconds for each in failed_loads),
        "calls": sum(outcome.seconds for outcome in ran if outcome.container_key is None),
    }
    phases["other"] = max(0.0, run.seconds.get("run", 0.0) - phases["model loads"] - phases["calls"])
    screen.write_line("seconds: " + ", ".join(f"{name} {seconds:,.2f}" for name, seconds in phases.items()))


def _summarize_loads(screen: Screen, what: str, loads: Sequence[tuple[str, str, float]]) -> None:
    """Write a line for each container fixture, from its label, the container and the seconds of each load.

    A load that failed is an outcome of each call that needed it, but it was tried once in a container.
    """
    for label in dict.fromkeys(label for label, _, _ in loads):
        tries = {container for name, container, _ in loads if name == label}
        seconds = sum(seconds for name, _, seconds in loads if name == label)
        screen.write_line(f"{what} {safe(label)}: {count(len(tries), 'time')}, {seconds:,.2f} s")


def _summarize_failures(screen: Screen, results: Results) -> None:
    failed = [outcome for outcome in results.outcomes.values() if outcome.status == "infrastructure"]
    for (kind, message, remedy), number in Counter(map(_failure, failed)).items():
        screen.write_line(f"{kind}: {safe(message)} ({count(number, 'call')})", red=True)
        screen.write_line(f"  what to do: {safe(remedy)}")
        for line in pointers(results.run.apps):
            screen.write_line(line)


def _failure(outcome: Outcome) -> tuple[str, str, str]:
    error = outcome.error or {}
    return str(error["type"]), str(error["message"]), str(error["remedy"])
