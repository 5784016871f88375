"""The comparison of two runs: what their records say, what their gates' items say, and what is in their files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_modal.report.comparison.tables import TableChange
from pytest_modal.report.differences import ArtifactChange, Differences, GateChange
from pytest_modal.report.html.images import Image
from pytest_modal.report.record import ArtifactEntry, FlipEntry, GateEntry, Record


@dataclass(frozen=True)
class Run:
    """A run, and the output root where its files are, if no later run has replaced them."""

    record: Record
    root: Path


@dataclass(frozen=True)
class GateComparison:
    """A gate of both runs, compared by their per-item results.

    Attributes
    ----------
    n : int
        Items that both have.
    then, now, change : float
        Accuracies or mean scores; a gain is positive.
    interval : tuple of float
        Of the change, by which it is decided.
    shown : str
        All of these, as they are shown.
    worse, better : int
        Items that flipped.
    details : tuple of str
        Lines: notes, categories, the first flips.
    flips : tuple of FlipEntry
        At most 1,000.
    """

    gate: str
    verdict: str
    fell: bool
    n: int
    then: float
    now: float
    change: float
    interval: tuple[float, float]
    p: float
    shown: str
    worse: int
    better: int
    details: tuple[str, ...]
    flips: tuple[FlipEntry, ...]


@dataclass(frozen=True)
class Recorded:
    """A gate that can't be compared by items: in one run only, or without items that both have.

    Attributes
    ----------
    why : str
        Why not.
    """

    change: GateChange
    why: str


@dataclass(frozen=True)
class FileChange:
    """A file that differs.

    Attributes
    ----------
    table : TableChange or None
        The first differences of a CSV.
    was, now : Image or None
        A figure; None where there is none to show.
    note : str
        Why its content is not shown.
    """

    change: ArtifactChange
    table: TableChange | None = None
    was: Image | None = None
    now: Image | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two runs, compared.

    Attributes
    ----------
    gates : tuple of GateComparison
        Those whose items have other answers.
    same_gates : int
        How many have the same answers.
    together : str
        What all gates say together; empty for fewer than two.
    fell_together : bool
        Whether they fell together, though none did alone.
    """

    before: Run
    after: Run
    differences: Differences
    gates: tuple[GateComparison, ...] = ()
    same_gates: int = 0
    recorded: tuple[Recorded, ...] = ()
    together: str = ""
    fell_together: bool = False
    files: tuple[FileChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.differences)

    @property
    def fallen(self) -> list[str]:
        """The gates that fell."""
        found = [each.gate for each in self.gates if each.fell]
        return found + [each.change.gate for each in self.recorded if each.change.worse]

    @property
    def failing(self) -> list[str]:
        """The tests that passed and fail."""
        return [each.nodeid for each in self.differences.outcomes if each.worse]

    @property
    def worse(self) -> bool:
        """Whether a gate fell, all did together, or a test that passed fails."""
        return bool(self.fallen or self.failing or self.fell_together)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        found = self.differences
        return {
            "schema": 1,
            "before": _run(self.before),
            "after": _run(self.after),
            "different": bool(self),
            "worse": self.worse,
            "slower": bool(found.slower),
            "outcomes": [asdict(each) | {"worse": each.worse} for each in found.outcomes],
            "only_before": [*found.only_before],
            "only_after": [*found.only_after],
            "gates": [asdict(each) for each in self.gates],
            "same_gates": self.same_gates,
            "recorded_gates": [_recorded(each) for each in self.recorded],
            "together": self.together,
            "fell_together": self.fell_together,
            "times": [asdict(each) for each in found.times],
            "facts": [asdict(each) for each in found.facts],
            "files": [_file(each) for each in self.files],
        }


def _run(run: Run) -> dict[str, Any]:
    record = run.record
    names = ("id", "started", "seconds", "ending", "exit_status", "mode", "commit", "clean", "outcomes", "cost")
    return {name: record[name] for name in names}  # type: ignore[literal-required]


def _recorded(gate: Recorded) -> dict[str, Any]:
    change = gate.change
    sides = {"was": _gate(change.was), "now": _gate(change.now)}
    return {"gate": change.gate, "fell": change.worse, "why": gate.why, **sides}


def _gate(gate: GateEntry | None) -> dict[str, Any] | None:
    if gate is None:
        return None
    result = gate["result"]
    return {
        "verdict": gate["verdict"],
        "failed": gate["failed"],
        "accuracy": result.get("accuracy"),
        "n": result.get("n"),
    }


def _file(file: FileChange) -> dict[str, Any]:
    change = file.change

    def side(entry: ArtifactEntry | None) -> dict[str, Any] | None:
        return None if entry is None else {"bytes": entry["bytes"], "sha256": entry["sha256"]}

    return {
        "path": change.path,
        "kind": change.kind,
        "was": side(change.was),
        "now": side(change.now),
        "table": None if file.table is None else asdict(file.table),
        "note": file.note,
    }
