"""The ledger of a run: the result of each gate, which wait for fresh rounds, which baselines to write.

Plain data without numpy: under pytest-xdist the workers send it to the controller with their reports.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modal.gate.judge.baseline_paths import outputs_path
from pytest_modal.report.record import FlipEntry, RoundEntry
from pytest_modal.store.files import write_text
from pytest_modal.wording import first_few, safe_line

if TYPE_CHECKING:
    from pytest_modal.gate.judge.evaluation import Evaluation


@dataclass(frozen=True)
class NewBaseline:
    """The texts of a baseline that is to be written to `path`."""

    path: str
    items: str
    outputs: str

    def write(self) -> None:
        """Write the baseline and the file of its outputs, each atomically; delete the latter if there are none."""
        path = Path(self.path)
        if self.outputs:
            write_text(outputs_path(path), self.outputs)
        else:
            outputs_path(path).unlink(missing_ok=True)
        write_text(path, self.items)


@dataclass(frozen=True)
class GateRecord:
    """The result of one gate, as it is shown and sent.

    Attributes
    ----------
    test : str
        Node id.
    compared : bool
        Whether there was anything to compare with.
    line : str
        All of it in one line.
    notes : list of str
        Warnings, which fail nothing.
    remarks : list of str
        Remarks, which are not warnings.
    result : dict
        The `GateResult` as plain JSON data.
    baseline : str or None
        The file that was compared with, relative to the rootdir.
    update : str or None
        What happens to the baseline, in one line, if baselines are being recorded.
    new_baseline : NewBaseline or None
        What to write if the whole test passes.
    pooled : dict or None
        What the joint test of the run needs of the gate.
    rounds, flips, flips_in_all, items
        As in `pytest_modal.report.record.GateEntry`.
    """

    gate: str
    test: str
    verdict: str
    failed: bool
    compared: bool
    line: str
    notes: list[str]
    result: dict[str, Any]
    baseline: str | None = None
    update: str | None = None
    new_baseline: NewBaseline | None = None
    remarks: list[str] = field(default_factory=list)
    pooled: dict[str, Any] | None = None
    rounds: list[RoundEntry] = field(default_factory=list)
    flips: list[FlipEntry] = field(default_factory=list)
    flips_in_all: int = 0
    items: str = ""

    @property
    def shown_notes(self) -> list[str]:
        """All that is noted of the gate in summaries."""
        return [*self.notes, *self.remarks]


@dataclass
class Held:
    """A test whose gates were suspicious: it waits for fresh rounds.

    Attributes
    ----------
    rounds : dict
        The evaluations of its rounds so far, by gate.
    lines : list of str
        The summary lines of the suspicious gates.
    """

    test: str
    rounds: dict[str, list[Evaluation]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


RECORDS = pytest.StashKey[list[GateRecord]]()  # of an item: the records of its gates when it last ran
CALLED = pytest.StashKey[bool]()  # of an item that requests a gate: whether it called it, or was skipped
REPORTED = "modal_gates"  # of a report: the records as JSON
UNCALLED = "modal_gates_uncalled"  # of a report: the test requested a gate, and never called it


@dataclass
class Ledger:
    """The gates of a run.

    Attributes
    ----------
    recorded : set of str or None
        Names of the project's gates that have a baseline, once they were looked for.
    names : dict
        The test that uses each name.
    held : dict
        By node id, the tests that wait for fresh rounds.
    records : list of GateRecord
        Of tests that are finished, in their order.
    failed : set of str
        Node ids of tests that failed anywhere.
    unconfirmed : list of str
        The summary lines of gates whose fresh rounds were not run.
    written : list of str
        What happened to each baseline, one line each.
    uncalled : list of str
        Node ids of tests that requested a gate and never called it.
    not_compared : list of str
        Names of recorded gates that a run of all tests did not compare, because a test failed.
    joint : str or None
        What all gates together say, in one line.
    joint_failed : bool
        Whether that fails the run.
    """

    recorded: frozenset[str] | None = None
    names: dict[str, str] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    records: list[GateRecord] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    unconfirmed: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    uncalled: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    joint: str | None = None
    joint_failed: bool = False

    def note(self, report: pytest.TestReport) -> None:
        """Add the records of a report."""
        if report.failed:
            self.failed.add(report.nodeid)
        if vars(report).get(UNCALLED):
            self.uncalled.append(report.nodeid)
        for record in unpack(vars(report).get(REPORTED, "[]")):
            self.held.pop(record.test, None)
            self.records.append(record)

    def is_recorded(self, record: GateRecord) -> bool:
        """Whether a gate that had no baseline has one now."""
        return not record.compared and record.new_baseline is not None and record.test not in self.failed

    @property
    def left_out(self) -> list[str]:
        """Lines about gates that compared nothing."""
        lines = [f"{test}: accuracy_gate requested, never called" for test in self.uncalled]
        if self.not_compared:
            lines.append(f"{len(self.not_compared):,} not compared: {first_few(map(safe_line, self.not_compared))}")
        return lines

    def write_baselines(self) -> bool:
        """Write the baselines of the tests that passed, and note what happened to each; return whether all could be."""
        complete = True
        users = defaultdict(set)
        for record in self.records:
            users[record.gate].add(record.test)
        for record in self.records:
            if record.update is None:
                continue
            if record.test in self.failed and not record.failed:
                self.written.append(f"{record.gate}: baseline not written, {record.test} failed")
            elif len(users[record.gate]) > 1:
                self.written.append(f"{record.gate}: baseline not written, more than one test uses the name")
            else:
                try:
                    if record.new_baseline is not None and record.test not in self.failed:
                        record.new_baseline.write()
                    self.written.append(record.update)
                except OSError as error:
                    self.written.append(f"{record.gate}: baseline not written: {error}")
                    complete = False
        return complete


LEDGER = pytest.StashKey[Ledger]()


def ledger_of(config: pytest.Config) -> Ledger:
    """Return the ledger of a run."""
    return config.stash.setdefault(LEDGER, Ledger())


def pack(records: Sequence[GateRecord]) -> str:
    """Return records as text that a report can carry."""
    return json.dumps([asdict(record) for record in records])


def unpack(text: str) -> list[GateRecord]:
    """Return the records that a report carries."""
    found = []
    for fields in json.loads(text):
        new = fields.pop("new_baseline")
        found.append(GateRecord(**fields, new_baseline=None if new is None else NewBaseline(**new)))
    return found
