"""The recordings of a batch: the file of each call, what it depends on, writing them all, finding unused ones."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pytest_modal.batch.calls import Batch, Call, Data, FromCall, FromContainer, Node
from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.code.distributions import distribution_of
from pytest_modal.code.inventory import inventory
from pytest_modal.code.requirements import requirements_of
from pytest_modal.remote import data
from pytest_modal.store.recordings.errors import RecordingError
from pytest_modal.store.recordings.finding import Finder
from pytest_modal.store.recordings.model import Keys, Name, Recording, RunFacts, Slot, declared
from pytest_modal.store.recordings.paths import DIRECTORY, arrays_named, recording_path, told_apart, unused_recordings
from pytest_modal.store.recordings.writing import secret_values, write_recording
from pytest_modal.wording import count, shown_path


def slots(batch: Batch, rootdir: Path) -> dict[str, Slot]:
    """Return the slots of all calls of a batch, by key.

    A recording is beside the file that defines its function, so that a selection of tests moves none. Rounds after
    the first have their own recordings.
    """
    keys = _AllKeys(batch)
    plain: dict[Path, dict[str, tuple[Name, str]]] = {}
    for call in batch.calls:
        source = rootdir / call.function.location.rpartition(":")[0]
        # An installed function has no tests beside it.
        directory = (source.parent if source.is_relative_to(rootdir) else rootdir) / DIRECTORY
        depends = keys.of(call)
        identity = digest_of(
            *(json.dumps(dict(each), sort_keys=True) for each in (depends.arguments, depends.environment))
        )
        number = call.environment.round
        shown = (*call.shown, f"round{number + 1}") if number else call.shown
        plain.setdefault(directory, {})[call.key] = Name(source.stem, call.function.name, shown, call.apart), identity
    return {
        key: Slot(directory, name, keys.of_key(key))
        for directory, names in plain.items()
        for key, name in told_apart(names).items()
    }


class _AllKeys:
    """What each call depends on, computed once for each."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._calls = {call.key: call for call in batch.calls}
        self._known: dict[str, Keys] = {}

    def of_key(self, key: str) -> Keys:
        return self.of(self._calls[key])

    def of(self, call: Call) -> Keys:
        if call.key not in self._known:
            function = {**call.function.parts, **call.declared}
            arguments = self._arguments(call, "")
            for key in call.containers:
                container = self._batch.containers[key]
                function |= container.function.parts
                arguments |= self._arguments(container, f"{container.own_label}.")
            self._known[call.key] = Keys(function, arguments, declared(call.environment))
        return self._known[call.key]

    def _arguments(self, node: Node, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, argument in node.arguments.items():
            if isinstance(argument, Data):
                found[prefix + name] = argument.digest
            elif isinstance(argument, FromCall):
                parts = self._batch.parts(argument.key)
                found[prefix + name] = digest_of(*(self.of_key(part).digest for part in parts))
            elif isinstance(argument, FromContainer):
                found[prefix + name] = self._batch.containers[argument.key].own_label
        return found | ({f"{prefix}request.param": node.param.digest} if node.param else {})


def record(batch: Batch, rootdir: Path, outcomes: Mapping[str, Outcome], values: Callable[[str], bytes]) -> list[str]:
    """Record the ok outcomes of a batch; the recordings of other calls stay as they are.

    Parameters
    ----------
    values : callable
        Returns the encoded result of a call.

    Returns
    -------
    list of str
        Lines for the summary.
    """
    notes, written, directories = [], 0, set()
    secrets = secret_values(os.environ)
    places, finder = slots(batch, rootdir), Finder()
    own = {recording_path(slot.directory, slot.name) for slot in places.values()}
    for call in batch.calls:
        slot, outcome = places[call.key], outcomes.get(call.key)
        if call.mocked:
            notes.append(f"not recorded: {call.label} ran with a mock; record with --modal")
            continue
        if outcome is None or not outcome.ok:
            notes.append(f"not recorded: {call.label} has no result; what was recorded before is kept")
            continue
        # The same call may have been recorded under another name, by another test or an earlier version.
        earlier = [path for path in finder.superseded(slot) if path not in own]
        try:
            value = data.decode(values(call.key))
            recording = Recording(slot.name, slot.keys, _facts(batch, call, outcome), value)
            write_recording(slot.directory, recording, secrets)
            for each in earlier:
                for file in [*arrays_named(each), each]:
                    file.unlink(missing_ok=True)
        except (RecordingError, OSError, data.CorruptDataError, data.NotDataError) as error:
            notes.append(f"not recorded: {call.label}: {error}")
            continue
        written += 1
        directories.add(slot.directory)
    where = ", ".join(sorted(shown_path(directory, rootdir) for directory in directories))
    return [f"recorded {written:,} of {count(len(batch.calls), 'call')}{f' in {where}' if where else ''}", *notes]


def _facts(batch: Batch, call: Call, outcome: Outcome) -> RunFacts:
    # What the call itself needs: what others need beside it would make recordings depend on the selection.
    alone = Batch([call], batch.containers)
    named = map(distribution_of, requirements_of(alone, call.environment).packages)
    return RunFacts(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        gpu=outcome.device,
        python=platform.python_version(),
        packages={name: version for name in named if name and (version := inventory().version(name))},
        seconds=round(outcome.seconds, 6),
    )


def unused(places: Iterable[Slot], tests: Iterable[Path], used: Iterable[Path]) -> list[Path]:
    """Return the files in ``recordings/`` that no call of a full selection uses.

    Parameters
    ----------
    places : iterable of Slot
        Of all calls.
    tests : iterable of Path
        The files of all tests.
    used : iterable of Path
        The recordings in use.
    """
    directories = {slot.directory for slot in places} | {test.parent / DIRECTORY for test in tests}
    kept = list(used)
    return [path for directory in sorted(directories) for path in unused_recordings(directory, kept)]
