"""The head of the page: what ran, when, where, for how much, and how it ended."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_modal.batch.cost import about
from pytest_modal.batch.quantities import duration
from pytest_modal.report.html.marks import TESTS, Mark, of_test
from pytest_modal.report.record import CallEntry, Record
from pytest_modal.wording import count, first_few

MODES = {
    "local": "local mock mode",
    "modal": "on Modal",
    "replay": "replay of recordings",
    "skip": "GPU tests skipped",
    "none": "no GPU test",
}
_EXITS = {
    0: "nothing failed",
    1: "tests failed",
    2: "interrupted",
    3: "internal error",
    4: "wrong usage",
    5: "no tests collected",
    70: "Modal failed",
}


@dataclass(frozen=True)
class OutcomeCount:
    """How many tests had an outcome."""

    mark: Mark
    number: int


@dataclass(frozen=True)
class Summary:
    """The head of the page. `facts` are pairs of a word and what is said of it."""

    title: str
    tone: str
    outcomes: tuple[OutcomeCount, ...]
    facts: tuple[tuple[str, str], ...]
    command: str
    alerts: tuple[str, ...]


def summary_of(record: Record) -> Summary:
    """Return the head of the page of a run."""
    outcomes = record["outcomes"]
    total = sum(outcomes.values())
    order = [*(name for name in TESTS if name in outcomes), *(name for name in outcomes if name not in TESTS)]
    shown = tuple(OutcomeCount(of_test(name), outcomes[name]) for name in order if outcomes[name])
    title, tone = _title(record, total)
    return Summary(title, tone, shown, tuple(_facts(record)), command_of(record), _alerts(record))


def _title(record: Record, total: int) -> tuple[str, str]:
    outcomes = record["outcomes"]
    failed = outcomes.get("failed", 0) + outcomes.get("error", 0)
    gates = sum(gate["failed"] for gate in record["gates"])
    if failed:
        return f"{failed:,} of {count(total, 'test')} failed", "bad"
    if record["ending"] != "finished":
        return f"The run was not finished: {count(total, 'test')} so far", "warn"
    if outcomes.get("not finished"):
        return f"{outcomes['not finished']:,} of {count(total, 'test')} did not finish", "warn"
    if not total:
        return "No test ran", "quiet"
    if gates or record["exit_status"] not in (0, None):
        return "No test failed, but the run did", "bad"
    if outcomes.get("passed") == total:
        return "The test passed" if total == 1 else f"All {total:,} tests passed", "good"
    return "No test failed", "good"


def _alerts(record: Record) -> tuple[str, ...]:
    endings = {
        "interrupted": "The run was interrupted. The page shows what was known until then.",
        "unfinished": "The run was ended from outside. The page shows what was known until then.",
    }
    said = endings.get(record["ending"])
    return (*([said] if said else []), *record["problems"])


def _facts(record: Record) -> list[tuple[str, str]]:
    facts = [
        ("Started", moment(record["started"])),
        ("Took", duration(record["seconds"])),
        ("Mode", mode_of(record)),
        ("Commit", commit_of(record)),
        ("Device", first_few(devices_of(record["calls"]), 3) or "none used"),
        ("Cost", cost_of(record)),
    ]
    if record["exit_status"] is not None:
        status = record["exit_status"]
        facts.append(("Exit status", f"{status}, {_EXITS[status]}" if status in _EXITS else f"{status}"))
    return facts


def mode_of(record: Record) -> str:
    """Return where the GPU tests ran."""
    return MODES.get(record["mode"], record["mode"])


def commit_of(record: Record) -> str:
    """Return the commit, its branch, and whether the tree was as committed."""
    if not record["commit"]:
        return "not in a git repository"
    tree = {True: "clean", False: "with uncommitted changes", None: "state unknown"}[record["clean"]]
    branch = f" on {record['branch']}" if record["branch"] else ""
    return f"{record['commit'][:10]}{branch}, {tree}"


def cost_of(record: Record) -> str:
    """Return what the run has cost, about."""
    cost = record["cost"]
    if cost is None:
        return "nothing" if record["mode"] != "modal" else "unknown"
    return about(cost["dollars"], complete=cost["complete"])


def command_of(record: Record) -> str:
    """Return the command of the run, as a shell reads it."""
    return shlex.join(["pytest", *record["command"]])


def devices_of(calls: Sequence[CallEntry]) -> list[str]:
    """Return what the calls used: the busiest device first."""
    busy: dict[str, float] = {}
    for call in calls:
        if call["device"]:
            busy[call["device"]] = busy.get(call["device"], 0) + call["seconds"]
    return sorted(busy, key=lambda device: (device == "cpu", -busy[device], device))


def moment(text: str) -> str:
    """Return a point in time as people read it, in UTC."""
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    if when.tzinfo is not None:
        when = when.astimezone(datetime.UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"
