"""Values that were sent and live on here: whether something has changed them in place since."""

from __future__ import annotations

import enum
import hashlib
import pickle
import types
from dataclasses import dataclass, field

from pytest_modal.code.arguments import digest_of_argument

_SAMPLED_FROM = 1 << 20  # bytes of an array: from here on each test looks at a sample, the last one at all
_SAMPLES = 256
_SAMPLE_BYTES = 256
_FIXED = (str, bytes, bool, int, float, complex, type(None), type, types.FunctionType, enum.Enum)


@dataclass(eq=False, slots=True)
class Lent:
    """A value that was sent, as it was then.

    Attributes
    ----------
    value : object
        The value itself.
    digest : str
        Of its content.
    """

    value: object
    digest: str
    _first: _Fingerprint | None = field(init=False)
    # Node ids of the tests that have yet to look at it, where the last one looks at more.
    _users: set[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._first = _fingerprint(self.value)
        if self._first is not None and self._first.sampled:
            self._users = set()

    def lend(self, nodeid: str) -> None:
        """Note a test that will look at it."""
        if self._users is not None:
            self._users.add(nodeid)

    def has_changed(self) -> bool:
        """Whether its content differs; of a long array only a sample is looked at, which takes no time."""
        # The fingerprint tells one text from another of the same letters; the digest doesn't.
        return self._first is not None and _fingerprint(self.value) != self._first and self._differs()

    def has_changed_for(self, nodeid: str) -> bool:
        """Whether its content differs when a test is set up; the last of its tests looks at all of it."""
        if self._users is None:
            return self.has_changed()
        is_last = self._users == {nodeid}
        self._users.discard(nodeid)
        return self.has_changed() or (is_last and self._differs())

    def _differs(self) -> bool:
        try:
            return digest_of_argument(self.value, "value") != self.digest
        except TypeError:  # something was put into it that is no data
            return True


@dataclass(frozen=True)
class _Fingerprint:
    digest: bytes
    sampled: bool


def _fingerprint(value: object) -> _Fingerprint | None:
    """Return what tells a value from a changed one, at the speed of pickle; None for what can't be changed in place."""
    if _is_fixed(value):
        return None
    arrays: list[pickle.PickleBuffer] = []
    try:
        hashed = hashlib.blake2b(pickle.dumps(value, 5, buffer_callback=arrays.append), digest_size=16)
    except Exception:  # it holds code that pickle finds by no name
        return _Fingerprint(digest_of_argument(value, "value").encode(), sampled=False)
    sampled = False
    for array in arrays:
        memory = array.raw()
        if memory.nbytes < _SAMPLED_FROM:
            hashed.update(memory)
            continue
        sampled = True
        for index in range(_SAMPLES):
            start = (memory.nbytes - _SAMPLE_BYTES) * index // (_SAMPLES - 1)
            hashed.update(memory[start : start + _SAMPLE_BYTES])
    return _Fingerprint(hashed.digest(), sampled)


def _is_fixed(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_is_fixed, value))
    return isinstance(value, _FIXED)
