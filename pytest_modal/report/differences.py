"""Differences between the records of two runs: outcomes of tests, gates, times, machines and packages, files.

They are what the records themselves say. Per-item results of gates are compared by the gates' own statistics, not here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_modal.report.record import FAILED, ArtifactEntry, GateEntry, Record, TestEntry
from pytest_modal.report.timing_differences import TimeChange, time_changes

_OUTPUT_DIR = "--modal-output-dir"
_PASSED = ("passed", "xpassed")


@dataclass(frozen=True)
class OutcomeChange:
    """A test that both runs have, with another outcome.

    Attributes
    ----------
    message : str
        The failure, or the reason of a skip, in the later run.
    """

    nodeid: str
    was: str
    now: str
    message: str

    @property
    def worse(self) -> bool:
        """Whether it passed and fails."""
        return self.was in _PASSED and self.now in FAILED

    @property
    def better(self) -> bool:
        """Whether it failed and passes."""
        return self.was in FAILED and self.now in _PASSED


@dataclass(frozen=True)
class GateChange:
    """A gate whose verdict or accuracy differs, as recorded; None where the run doesn't have it."""

    gate: str
    was: GateEntry | None
    now: GateEntry | None

    @property
    def worse(self) -> bool:
        """Whether it fails, and did not before."""
        return self.was is not None and self.now is not None and self.now["failed"] and not self.was["failed"]

    @property
    def better(self) -> bool:
        """Whether it failed, and no longer does."""
        return self.was is not None and self.now is not None and self.was["failed"] and not self.now["failed"]


@dataclass(frozen=True)
class FactChange:
    """Something about a run, such as its commit, its GPU or the version of a package; empty where it has none."""

    what: str
    was: str
    now: str


@dataclass(frozen=True)
class ArtifactChange:
    """A file that differs; None in the run that doesn't have it, though it ran the test."""

    path: str
    was: ArtifactEntry | None
    now: ArtifactEntry | None

    @property
    def kind(self) -> str:
        """As in `ArtifactEntry.kind`."""
        either = self.now or self.was
        return either["kind"] if either is not None else "file"


@dataclass(frozen=True)
class Differences:
    """What differs between two runs, each list in the order in which a report shows it.

    Attributes
    ----------
    only_before, only_after : tuple of str
        Node ids of tests that one run has.
    """

    outcomes: tuple[OutcomeChange, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    gates: tuple[GateChange, ...] = ()
    times: tuple[TimeChange, ...] = ()
    facts: tuple[FactChange, ...] = ()
    artifacts: tuple[ArtifactChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any; that a machine was slow is none."""
        return any(value for name, value in vars(self).items() if name != "times") or any(
            not each.unchanged for each in self.times
        )

    @property
    def worse(self) -> bool:
        """Whether a test that passed fails, or a gate that did not fail does. Times don't count."""
        return any(each.worse for each in self.outcomes) or any(each.worse for each in self.gates)

    @property
    def slower(self) -> tuple[TimeChange, ...]:
        """What takes longer or costs more, and has changed."""
        return tuple(each for each in self.times if each.slower and not each.unchanged)


def differences_between(before: Record, after: Record) -> Differences:
    """Return what differs between two runs."""
    was, now = ({each["nodeid"]: each for each in record["tests"]} for record in (before, after))
    installed = _installed(before, after)
    return Differences(
        outcomes=tuple(_outcomes(was, now)),
        only_before=tuple(each for each in was if each not in now),
        only_after=tuple(each for each in now if each not in was),
        gates=tuple(_gates(before, after)),
        times=tuple(time_changes(before, after, alike=not installed)),
        facts=(*_run_facts(before, after), *installed),
        artifacts=tuple(_artifacts(before, after, was.keys() & now.keys())),
    )


def _outcomes(was: dict[str, TestEntry], now: dict[str, TestEntry]) -> list[OutcomeChange]:
    found = [
        OutcomeChange(nodeid, was[nodeid]["outcome"], test["outcome"], test["message"])
        for nodeid, test in now.items()
        if nodeid in was and was[nodeid]["outcome"] != test["outcome"]
    ]
    return sorted(found, key=lambda each: not each.worse)


def _gates(before: Record, after: Record) -> list[GateChange]:
    was, now = ({each["gate"]: each for each in record["gates"]} for record in (before, after))
    found = [
        GateChange(gate, was.get(gate), now.get(gate))
        for gate in dict.fromkeys([*was, *now])
        if _judged(was.get(gate)) != _judged(now.get(gate))
    ]
    return sorted(found, key=lambda each: not each.worse)


def _judged(gate: GateEntry | None) -> tuple[object, ...]:
    if gate is None:
        return ()
    # The same answers have the same digest; a verdict depends on the baseline too.
    return gate["verdict"], gate["failed"], gate["items"], gate["result"].get("accuracy"), gate["result"].get("n")


def _run_facts(before: Record, after: Record) -> list[FactChange]:
    return _changed(dict(_said(before)), dict(_said(after)))


def _installed(before: Record, after: Record) -> list[FactChange]:
    """Return what differs of what a call's time depends on: versions and machines."""
    versions = _changed(before["versions"], after["versions"])
    # A run that computed nothing has seen no machine.
    one, two = dict(_machines(before)), dict(_machines(after))
    return [*versions, *(each for each in _changed(one, two) if each.was and each.now)]


def _changed(was: Mapping[str, str], now: Mapping[str, str]) -> list[FactChange]:
    pairs = ((what, was.get(what, ""), now.get(what, "")) for what in dict.fromkeys([*was, *now]))
    return [FactChange(*each) for each in pairs if each[1] != each[2]]


def _said(record: Record) -> Iterator[tuple[str, str]]:
    yield "mode", record["mode"]
    yield "ending", record["ending"]
    dirty = " with changes" if record["clean"] is False else ""
    yield "commit", f"{record['commit'][:12]}{dirty}" if record["commit"] else ""
    yield "branch", record["branch"]
    yield "command", shlex.join(["pytest", *_without_output_dir(record["command"])])
    yield "seed", record["seed"]


def _without_output_dir(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments without the output directory: runs whose files are to be compared have two of them."""
    following = False
    for each in arguments:
        if not following and not each.startswith(f"{_OUTPUT_DIR}=") and each != _OUTPUT_DIR:
            yield each
        following = each == _OUTPUT_DIR


def _machines(record: Record) -> Iterator[tuple[str, str]]:
    yield "platform", record["platform"]
    machines = [each["machine"] for each in record["containers"] if each["machine"] is not None]
    calls = [each for each in record["calls"] if not each["reused"] and not each["recorded"]]
    values: dict[str, Iterable[str]] = {
        "device": (each["device"] for each in calls),
        "GPU that calls had": (each["given"] for each in calls),
        "GPU": (each["gpu"] for each in machines),
        "driver": (each["driver"] for each in machines),
        "CUDA": (each["cuda"] for each in machines),
        "torch in containers": (each["torch"] for each in machines),
        "Python in containers": (each["python"] for each in machines),
    }
    for what, found in values.items():
        if known := sorted({*found} - {""}):
            yield what, ", ".join(known)


def _artifacts(before: Record, after: Record, shared: Iterable[str]) -> Iterator[ArtifactChange]:
    tests = {*shared}
    was, now = (
        {each["path"]: each for each in record["artifacts"] if each["test"] in tests} for record in (before, after)
    )
    for path in sorted(was.keys() | now.keys()):
        one, two = was.get(path), now.get(path)
        if one is None or two is None or (one["bytes"], one["sha256"]) != (two["bytes"], two["sha256"]):
            yield ArtifactChange(path, one, two)
