"""The lines before the batch, and the terminal summary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from pytest_modal._pytest_compat import start_section, width_of
from pytest_modal.batch.calls import Batch
from pytest_modal.batch.cost import Cost, money
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.batch.quantities import duration, size
from pytest_modal.report.failures import pointers
from pytest_modal.report.wrapping import HANG, WIDTH, columns, wrapped
from pytest_modal.store.results import Results
from pytest_modal.wording import count, safe, safe_line

_MOST_ARTIFACTS = 20
_MOST_CALLS = 10
_LONGEST_PATH = 4_096


class Lines(Protocol):
    """Takes lines: pytest's terminal reporter, or in a worker of pytest-xdist what passes them to it."""

    def write_line(self, line: str, **markup: bool) -> None: ...


class Screen(Lines, Protocol):
    """The methods of pytest's terminal reporter that are used."""

    def section(self, title: str, sep: str = "=", **markup: bool) -> None: ...


def write(screen: Lines, text: str, **markup: bool) -> None:
    """Write text of any origin in lines that fit the screen."""
    for line in safe(text).splitlines() or [""]:
        for piece in wrapped(line, width_of(screen)):
            screen.write_line(piece, **markup)


def announce(screen: Lines, where: str, batch: Batch) -> None:
    """Write in one line where the batch runs, so that nobody takes a mock for a GPU run; nothing for an empty one."""
    if not batch.calls:
        return
    line = f"modal: {where}: {count(len(batch.calls), 'call')} for {count(batch.tests, 'test')}"
    details = [count(len(batch.environments), "environment")]
    details += [count(len(batch.containers), "container fixture")] if batch.containers else []
    for detail in details:
        # It is read at a glance; the summary and --modal-plan have the rest.
        if len(line) + len(detail) + 2 > (width_of(screen) or WIDTH):
            break
        line += f", {detail}"
    write(screen, line)


def warn(screen: Lines, lines: Sequence[str]) -> None:
    """Write the warnings, before anything runs."""
    for line in lines:
        # They show code with marks below it, and places that editors find.
        screen.write_line(safe(line), yellow=True)


def skipped_before(conditions: Counter[str]) -> list[str]:
    """Return the line about the conditions that have skipped GPU tests, which are not in the batch; none without."""
    return [f"modal: {_skipped(conditions)} before the batch: {_reasons(conditions)}"] if conditions else []


def _skipped(reasons: Counter[str]) -> str:
    return f"{count(reasons.total(), 'GPU test')} skipped"


def _reasons(reasons: Counter[str]) -> str:
    # Reports of several workers come in any order.
    ranked = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f'"{safe_line(reason, 100)}" ({number:,})' for reason, number in ranked)


def summarize(
    screen: Screen,
    results: Results | None,
    artifacts: Sequence[Any],
    index: str,
    *,
    not_written: Sequence[str] = (),
    skipped: Counter[str] | None = None,
    page: str = "",
    verbosity: int = 0,
) -> None:
    """Write the terminal summary of a run: first what needs attention, then what went as usual.

    Parameters
    ----------
    index : str
        The file that lists the artifacts.
    not_written : sequence of str
        Lines about files of the run itself that could not be written.
    skipped : Counter
        How many GPU tests were skipped for which reason.
    page : str
        The page of the run, as it is shown; empty without one.
    verbosity : int
        pytest's: below 0 without what can be looked up, above it with all artifacts, containers and the slowest calls.
    """
    start_section(screen, "modal")
    if results is not None:
        _summarize_failures(screen, results)
        for note in results.run.notes:
            write(screen, note, yellow=True)
    for line in not_written:
        write(screen, line, yellow=True)
    if skipped:
        write(screen, f"{_skipped(skipped)}: {_reasons(skipped)}", yellow=True)
    if results is not None:
        _summarize_calls(screen, results, verbosity)
    if artifacts:
        _summarize_artifacts(screen, artifacts, index, verbosity)
    if page:
        write(screen, f"report: {page}")


def _summarize_artifacts(screen: Screen, artifacts: Sequence[Any], index: str, verbosity: int) -> None:
    shown = artifacts if verbosity > 0 else artifacts[:_MOST_ARTIFACTS] if verbosity == 0 else []
    write(screen, f"{count(len(artifacts), 'artifact')}, listed in {index}{':' if shown else ''}")
    for artifact in shown:
        # A path is copied as a whole, with the spaces in it.
        path, of = f"  {safe_line(artifact['path'], _LONGEST_PATH)}", f"({size(artifact['bytes'])})"
        fits = columns(path) + 1 + len(of) <= (width_of(screen) or math.inf)
        for line in [f"{path} {of}"] if fits else [path, f"  {HANG}{of}"]:
            screen.write_line(line)
    if shown and len(artifacts) > len(shown):
        write(screen, f"  ... and {len(artifacts) - len(shown):,} more")


def has_news(results: Results) -> bool:
    """Whether there is something to sum up: a run that sent nothing has no summary."""
    run = results.run
    return bool(run.labels or run.notes or run.error or run.mode == "skip")


def reused(results: Results) -> str:
    """Return how many calls are reused from earlier runs, and how many are left, as a line."""
    total, taken = len(results.run.labels), len(results.run.reused)
    return f"{taken:,} of {count(total, 'call')} reused from earlier runs, {total - taken:,} to run"


def _summarize_calls(screen: Screen, results: Results, verbosity: int) -> None:
    run, outcomes = results.run, list(results.outcomes.values())
    devices = dict.fromkeys(outcome.device for outcome in outcomes if outcome.device)
    dates = sorted(outcome.recorded[:10] for outcome in outcomes if outcome.recorded)
    when = f", recorded {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    write(screen, f"mode: {run.mode}; device: {', '.join(devices) or 'none'}{when}")
    if run.seed:
        write(screen, f"seed: {run.seed}")
    for app in run.apps:
        of = "" if len(run.apps) == 1 else f" of round {(app.round or 0) + 1}"
        write(screen, f"session{of}: {app.id}; {app.url or ''}".rstrip("; "))
    if not run.labels:
        return
    statuses = Counter(outcome.status for outcome in outcomes)
    failed = "".join(f", {number:,} {status}" for status, number in sorted(statuses.items()) if status != "ok")
    missing = len(run.labels) - len(outcomes)
    failed += f", {missing:,} missing" if missing else ""
    ran = [outcome for outcome in outcomes if outcome.key not in run.reused and not outcome.recorded]
    # Those that ended under a call count too.
    containers = {name for outcome in ran for name in (outcome.container, *outcome.fallen) if name}
    write(
        screen,
        f"{count(len(run.labels), 'call')} in {count(run.environments, 'environment')} "
        f"and {count(len(containers), 'container')}: {statuses['ok']:,} ok{failed}; "
        f"{size(sum(outcome.value_bytes for outcome in outcomes))} of results",
    )
    if run.reused:
        write(screen, f"resumed: {reused(results)}")
    if run.cost is not None:
        write(screen, f"cost: {run.cost}; {run.cost.prices}")
    if verbosity > 0:
        _list_containers(screen, run.cost)
    if verbosity >= 0:
        _summarize_times(screen, results, ran)
    if verbosity > 0:
        _list_slowest(screen, results, ran)


def _list_containers(screen: Screen, cost: Cost | None) -> None:
    for used in cost.containers if cost is not None else ():
        price = "no price is known" if used.dollars is None else f"about {money(used.dollars)}"
        write(screen, f"  container {used.container}: {used.gpu or 'CPU'}, {duration(used.seconds)}, {price}")


def _list_slowest(screen: Screen, results: Results, ran: Sequence[Outcome]) -> None:
    slowest = sorted(ran, key=lambda outcome: -outcome.seconds)[:_MOST_CALLS]
    if slowest:
        write(screen, f"slowest of {count(len(ran), 'call')}:" if len(ran) > len(slowest) else "time of calls:")
    for outcome in slowest:
        where = ", ".join(filter(None, (outcome.device, outcome.container)))
        label = safe_line(results.run.labels.get(outcome.key, outcome.key))
        write(screen, f"  {duration(outcome.seconds)}  {label}  ({', '.join(filter(None, (outcome.status, where)))})")


def _summarize_times(screen: Screen, results: Results, ran: Sequence[Outcome]) -> None:
    seconds = results.run.seconds
    loads = [load for outcome in ran for load in outcome.loads]
    _summarize_loads(screen, "loaded", [(load.label, load.container, load.seconds) for load in loads])
    failed_loads = [outcome for outcome in ran if outcome.container_key is not None]
    wasted = [(each.phase.removeprefix("load "), each.container, each.seconds) for each in failed_loads]
    _summarize_loads(screen, "did not load", wasted)
    phases = {
        "planning": seconds.get("plan", 0.0),
        "model loads": sum(load.seconds for load in loads) + sum(each.seconds for each in failed_loads),
        "calls": sum(outcome.seconds for outcome in ran if outcome.container_key is None),
    }
    phases["other"] = max(0.0, seconds.get("run", 0.0) - phases["model loads"] - phases["calls"])
    write(screen, "time: " + ", ".join(f"{name} {duration(spent)}" for name, spent in phases.items()))


def _summarize_loads(screen: Screen, what: str, loads: Sequence[tuple[str, str, float]]) -> None:
    """Write a line for each container fixture, from its label, the container and the seconds of each load.

    A load that failed is an outcome of each call that needed it, but it was tried once in a container.
    """
    for label in dict.fromkeys(label for label, _, _ in loads):
        tries = {container for name, container, _ in loads if name == label}
        seconds = sum(seconds for name, _, seconds in loads if name == label)
        write(screen, f"{what} {safe_line(label)}: {count(len(tries), 'time')}, {duration(seconds)}")


def _summarize_failures(screen: Screen, results: Results) -> None:
    failed = [outcome for outcome in results.outcomes.values() if outcome.status == "infrastructure"]
    for (kind, message, remedy), number in Counter(map(_failure, failed)).items():
        write(screen, f"{kind}: {message} ({count(number, 'call')})", red=True)
        write(screen, f"  what to do: {remedy}")
        for line in pointers(results.run.apps):
            write(screen, line)


def _failure(outcome: Outcome) -> tuple[str, str, str]:
    error = outcome.error or {}
    return str(error["type"]), str(error["message"]), str(error["remedy"])
