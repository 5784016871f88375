"""Results of a run: each outcome on disk before the next is awaited, read again when a test wants it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Batch, Buffers, Data
from pytest_modal.batch.cost import Cost
from pytest_modal.batch.outcomes import App, Event, Outcome
from pytest_modal.remote import data
from pytest_modal.remote.framing import write_message
from pytest_modal.store.files import DRAFT, atomic_path, link
from pytest_modal.store.outcome_file import read_header, read_outcome, read_value, write_outcome
from pytest_modal.store.scratch import temporary_directory
from pytest_modal.wording import count

_RECORD = "run"


@dataclass
class Run:
    """Facts of a run for reports, besides its outcomes.

    Attributes
    ----------
    labels : dict of str to str
        The label of each call, by key, in order.
    arguments : dict
        For each call, the digests of its arguments by name; empty where no other process compares its own.
    reused : list of str
        Keys of the calls whose results are from an earlier run.
    warnings, notes : list of str
        Lines to show before the batch, and lines for the summary.
    teardowns : list of mapping
        What went wrong after the ``yield`` of container fixtures: the "container_key", "what" in words, and the
        "error" that was raised.
    seed : str
        What random numbers began with, and in how many calls; empty without a seed.
    apps : list of App
        The sessions on Modal.
    cost : Cost or None
        What the containers on Modal have cost, if there were some.
    error : str or None
        Why the batch could not be run at all.
    events : list of Event
        Steps of the run on this machine.
    calls, loads, containers : list of mapping
        Entries of the run's record (see `pytest_modal.report.record`), those of fresh rounds included. The other calls
        are among the first only where other processes read them.
    """

    mode: str
    labels: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, dict[str, str]] = field(default_factory=dict)
    environments: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    apps: list[App] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    teardowns: list[dict[str, Any]] = field(default_factory=list)
    seed: str = ""
    cost: Cost | None = None
    error: str | None = None
    events: list[Event] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    loads: list[Any] = field(default_factory=list)
    containers: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Run:
        """Return the facts from what `dataclasses.asdict` makes of them."""
        cost = Cost.read(kept["cost"]) if kept["cost"] else None
        apps, events = [App(**each) for each in kept["apps"]], [Event(**each) for each in kept["events"]]
        return cls(**{**kept, "apps": apps, "events": events, "cost": cost})

    def app_of(self, number: int) -> App | None:
        """Return the session that a round ran in."""
        return next((app for app in self.apps if app.round in (None, number)), None)


class Results:
    """The results of a session.

    Parameters
    ----------
    mode : str
        "local", "modal", "replay", "skip".
    batch : Batch
        The calls.
    shared : Path or None
        A directory for outcomes that other processes read too, and that somebody else deletes. Otherwise there is a
        temporary one, made when it is needed.
    parent : Path or None
        Where to make that.
    """

    def __init__(self, mode: str, batch: Batch, shared: Path | None = None, parent: Path | None = None) -> None:
        self.batch = batch
        self.calls = {call.key: call for call in batch.calls}
        self.outcomes: dict[str, Outcome] = {}
        self.run = Run(
            mode,
            {key: call.label for key, call in self.calls.items()},
            {key: call.argument_digests for key, call in self.calls.items()} if shared is not None else {},
            len(batch.environments),
            seed=_seeds(batch),
        )
        self.is_shared = shared is not None
        self._directory, self._parent = shared, parent
        self._own = contextlib.ExitStack()
        self._asked = set[str]()

    @property
    def mode(self) -> str:
        """Where the calls ran."""
        return self.run.mode

    def put(self, outcome: Outcome, value: Buffers) -> None:
        """Keep an outcome and its encoded value on disk; where that fails, the outcome says so."""
        outcome.value_bytes = sum(memoryview(buffer).nbytes for buffer in value) if outcome.ok else 0
        try:
            self._write(outcome, value)
        except OSError as error:
            if outcome.ok:
                outcome.status, outcome.value_bytes, outcome.error = "infrastructure", 0, self._not_stored(error)
            # What takes less space may still be stored, for the other processes; this one has it in memory.
            with contextlib.suppress(OSError):
                self._write(outcome, [])
        self.outcomes[outcome.key] = outcome

    def _write(self, outcome: Outcome, value: Buffers) -> None:
        path = self.path(outcome.key)
        draft = path.with_name(f"{DRAFT}{path.name}")
        try:
            write_outcome(draft, outcome, value if outcome.ok else [])
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _not_stored(self, error: OSError) -> dict[str, str]:
        return {
            "type": "not stored",
            "message": f"results could not be stored: {error.strerror}",
            "remedy": f"free space on the disk of {self._directory}, and run pytest again with --modal-resume: "
            "what was stored is kept",
        }

    def adopt(self, outcome: Outcome, path: Path) -> None:
        """Take over an outcome of an earlier run."""
        link(path, self.path(outcome.key))
        self.outcomes[outcome.key] = outcome
        self.run.reused.append(outcome.key)

    def encoded(self, key: str) -> bytes:
        """Return the encoded result of a call."""
        if key in self.batch.shards:
            return b"".join(data.encode(self.value(key)))
        return read_value(self.path(key))

    def value(self, key: str) -> Any:
        """Return a fresh copy of the result of a call; the parts of a sharded one joined.

        Raises
        ------
        TypeError
            A part of a sharded call is not a list.
        """
        if key not in self.batch.shards:
            return data.decode(read_value(self.path(key)))
        return [row for part in self.batch.shards[key] for row in self.rows(part)]

    def rows(self, part: str) -> list[Any]:
        """Return the result of a part of a sharded call.

        Raises
        ------
        TypeError
            It is not a list.
        """
        value = self.value(part)
        if not isinstance(value, list):
            label = self.run.labels.get(part, part)
            raise TypeError(f"{label} returned a {type(value).__name__}, but shard= joins lists")
        return value

    def items_sent(self, part: str, shard: str) -> int:
        """Return how many items of the sharded list went to a part."""
        sent = self.calls[part].arguments[shard]
        return len(data.decode(b"".join(sent.buffers))) if isinstance(sent, Data) else 0

    def is_good(self, key: str) -> bool:
        """Whether a call, or each of its parts, has a result."""
        return all(part in self.outcomes and self.outcomes[part].ok for part in self.batch.parts(key))

    def of(self, key: str) -> list[Outcome]:
        """Return the outcomes of a call, or of its parts; those without an outcome are left out."""
        return [self.outcomes[part] for part in self.batch.parts(key) if part in self.outcomes]

    def path(self, key: str) -> Path:
        """Return the file of an outcome."""
        # Made when it is needed: a run without results leaves nothing to clean up.
        if self._directory is None:
            self._directory = self._own.enter_context(temporary_directory(self._parent))
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._directory / key

    def is_first(self, what: str) -> bool:
        """Return whether nobody has asked this before, in any process of the run."""
        if self.is_shared:
            try:
                self.path(f".{what}").touch(exist_ok=False)
                return True
            except FileExistsError:
                return False
            except OSError:
                pass  # a full disk: each process answers for itself
        new = what not in self._asked
        self._asked.add(what)
        return new

    def add(self, other: Run) -> None:
        """Add what another session of the run has done and cost, for all its processes."""
        run = self.run
        if other.cost is not None:
            run.cost = other.cost if run.cost is None else run.cost + other.cost
        for name in ("events", "calls", "loads", "containers"):
            getattr(run, name).extend(getattr(other, name))
        if self.is_shared:
            self.save()

    def save(self) -> None:
        """Write the facts of the run: other processes can `load` it from now on."""
        with atomic_path(self.path(_RECORD)) as draft, draft.open("wb") as stream:
            write_message(stream, dataclasses.asdict(self.run))

    def load(self) -> bool:
        """Read the results of another process in the directory; return whether its run was complete."""
        if self._directory is None or not self._directory.is_dir():
            return False
        for path in self._directory.iterdir():
            if path.name != _RECORD and not path.name.startswith("."):
                self.outcomes[path.name] = read_outcome(path)
        record = self._directory / _RECORD
        if not record.exists():
            return False
        self.run = Run.read(read_header(record))
        return True

    def close(self) -> None:
        """Delete the values, if nobody else is to read them."""
        self._own.close()


def _seeds(batch: Batch) -> str:
    """Name the seeds of a batch; how many calls have which, unless all have the same."""
    seeds = Counter(call.environment.seed for call in batch.calls)
    seeded = [(seed, number) for seed, number in seeds.items() if seed is not None]
    if len(seeds) == 1:
        return ", ".join(str(seed) for seed, _ in seeded)
    return ", ".join(f"{seed} ({count(number, 'call')})" for seed, number in sorted(seeded))
