"""Gates under pytest-xdist: a directory through which the workers of a run share names and rounds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_modal.run.xdist import Shared, shared_by_workers
from pytest_modal.store.files import draft_in, short_digest

if TYPE_CHECKING:
    from pytest_modal.gate.ledger import Held

HELD, ROUNDS, NAME = ".held", ".rounds", ".name"


def shared_directory(config: pytest.Config) -> Path | None:
    """Return, in a worker of pytest-xdist, the directory that it shares with the others."""
    workers = shared_by_workers(config)
    if workers is None:
        return None
    shared = gates_of(workers)
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    return shared


def gates_of(workers: Shared) -> Path:
    """Return the directory of the gates in what the workers of a run share; nothing is created."""
    return workers.directory / "gates"


def claim(shared: Path, gate: str, test: str) -> str:
    """Reserve the name of a gate for a test; return the test that has it, this one or another."""
    taken = shared / _mark_of(gate)
    with draft_in(shared, taken.name) as draft:
        draft.write_text(test, encoding="utf-8", errors="backslashreplace")
        with contextlib.suppress(FileExistsError):
            taken.hardlink_to(draft)
    return taken.read_text(encoding="utf-8")


def count_gates(shared: Path, recorded: Iterable[str]) -> int:
    """Return how many gates there are: those with a baseline, and others that workers have called so far."""
    return len({_mark_of(gate) for gate in recorded} | {path.name for path in shared.glob(f"*{NAME}")})


def _mark_of(gate: str) -> str:
    return f"{short_digest(gate)}{NAME}"


def leave(shared: Path, worker: str, count: int, held: dict[str, Held]) -> bool:
    """Hand over the tests that wait for fresh rounds; return whether this worker, the last of `count`, runs them."""
    from pytest_modal.remote import data

    for each in held.values():
        rounds = {gate: [asdict(evaluation) for evaluation in rounds] for gate, rounds in each.rounds.items()}
        path = shared / short_digest(each.test)
        path.with_suffix(ROUNDS).write_bytes(b"".join(data.encode(rounds)))
        path.with_suffix(HELD).write_text(json.dumps({"test": each.test, "lines": each.lines}), encoding="utf-8")
    (shared / f"{worker}.left").touch()
    if len(list(shared.glob("*.left"))) < count:
        return False
    try:
        (shared / "confirming").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def left_behind(shared: Path) -> dict[str, Held]:
    """Return the tests of all workers that wait for fresh rounds, by node id, without their rounds."""
    from pytest_modal.gate.ledger import Held

    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(shared.glob(f"*{HELD}"))]
    return {each["test"]: Held(each["test"], lines=each["lines"]) for each in records}


def take(shared: Path, held: Held) -> None:
    """Take over the rounds of a test from the worker that has run them."""
    from pytest_modal.gate.judge.evaluation import Evaluation
    from pytest_modal.remote import data

    rounds = data.decode((shared / short_digest(held.test)).with_suffix(ROUNDS).read_bytes())
    held.rounds = {gate: [Evaluation(**each) for each in evaluations] for gate, evaluations in rounds.items()}
