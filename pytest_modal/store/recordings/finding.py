"""Finding the recording of a call: by its name, else by what it depended on, whatever it was called then."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_modal.store.recordings.errors import AGAIN, MissingRecordingError, RecordingError
from pytest_modal.store.recordings.model import Keys, Name, Recording, Slot, differences
from pytest_modal.store.recordings.paths import recording_path
from pytest_modal.store.recordings.reading import check_fresh, read_description, read_recording

_ROUND = re.compile("round[0-9]+")


class Finder:
    """Finds recordings.

    A name is for people: another test may call the same value otherwise, and earlier versions gave other names. So a
    recording that depended on the same is the right one, whatever its name. Files of other names are looked at when the
    name leads to none that fits, each once.
    """

    def __init__(self) -> None:
        self._described: dict[Path, dict[Path, Recording]] = {}

    def read(self, slot: Slot) -> Recording:
        """Return the recording of a call.

        Raises
        ------
        MissingRecordingError
            There is none.
        StaleRecordingError
            What it depended on has changed.
        RecordingError
            It is damaged.
        """
        path = recording_path(slot.directory, slot.name)
        if os.path.lexists(path):
            recording = read_recording(path)
            if not differences(recording.keys, slot.keys):
                return recording
        path = self.find(slot)
        recording = read_recording(path)
        check_fresh(path, recording.keys, slot.keys)
        return recording

    def find(self, slot: Slot) -> Path:
        """Return the file of a call's recording: one that fits, else the one that it has made stale.

        Raises
        ------
        MissingRecordingError
            There is none.
        """
        path = recording_path(slot.directory, slot.name)
        described = self._beside(path)
        if os.path.lexists(path) and path not in described:
            return path  # damaged: reading it says how
        others = self._of_fixture(path, slot.name)
        if fitting := [each for each in others if not differences(described[each].keys, slot.keys)]:
            return path if path in fitting else fitting[0]
        if path in described:
            return path
        same_arguments = [each for each in others if described[each].keys.arguments == slot.keys.arguments]
        same_params = [each for each in others if described[each].name.params == slot.name.params]
        for alike in (same_arguments, same_params):
            if alike:
                return min(alike, key=lambda each: len(differences(described[each].keys, slot.keys)))
        raise MissingRecordingError(f"{slot.name} was not recorded", path, remedy=f"record it: {AGAIN}")

    def is_there(self, slot: Slot) -> bool:
        """Whether a call was recorded, fresh or not."""
        if os.path.lexists(recording_path(slot.directory, slot.name)):
            return True
        try:
            self.find(slot)
        except MissingRecordingError:
            return False
        return True

    def is_fresh(self, slot: Slot) -> bool:
        """Whether a call has a recording that is not stale; one that is damaged is there, and its reader says how."""
        try:
            path = self.find(slot)
        except MissingRecordingError:
            return False
        recording = self._beside(path).get(path)
        return recording is None or not differences(recording.keys, slot.keys)

    def superseded(self, slot: Slot) -> list[Path]:
        """Return the recordings of the same call under other names, its code aside."""
        path = recording_path(slot.directory, slot.name)
        described = self._beside(path)
        return [
            each
            for each in self._of_fixture(path, slot.name)
            if each != path and _identity(described[each].keys) == _identity(slot.keys)
        ]

    def _of_fixture(self, path: Path, name: Name) -> list[Path]:
        described = self._beside(path).items()
        return [
            each
            for each, recording in described
            if recording.name.fixture == name.fixture and _round(recording.name) == _round(name)
        ]

    def _beside(self, path: Path) -> dict[Path, Recording]:
        if path.parent not in self._described:
            described = self._described[path.parent] = {}
            for each in sorted(path.parent.glob("*.json")):
                try:
                    described[each] = read_description(each)
                except RecordingError:
                    continue  # nothing that could be used in place of another
        return self._described[path.parent]


def _identity(keys: Keys) -> tuple[object, object]:
    return keys.arguments, keys.environment


def _round(name: Name) -> str:
    """Return which round a recording is of: rounds depend on the same."""
    return name.params[-1] if name.params and _ROUND.fullmatch(name.params[-1]) else ""


def unused_files(finder: Finder, slots: Iterable[Slot], unused: Callable[[list[Path]], list[Path]]) -> list[Path]:
    """Return the files that no call uses.

    Parameters
    ----------
    unused : callable
        Returns the files that are not among those that are used.
    """
    slots = list(slots)
    paths = [recording_path(slot.directory, slot.name) for slot in slots]
    named = [path for path in paths if os.path.lexists(path)]
    if len(named) == len(slots) and not unused(named):
        return []
    # What has another name may be in use all the same.
    found = list(named)
    for slot in slots:
        try:
            found.append(finder.find(slot))
        except MissingRecordingError:
            continue
    return unused(found)
