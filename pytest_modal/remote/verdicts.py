"""Exceptions that are a verdict on the tests: an assertion that failed, with its values; a skip."""

from __future__ import annotations

import contextlib
import dis
import reprlib
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Literal

Verdict = Literal["failed", "skipped", "xfailed"]
# Of pytest and of what stands in for it; the more special ones first.
_OF_PYTEST: dict[str, Verdict] = {"XFailed": "xfailed", "Skipped": "skipped", "Failed": "failed"}
_MAX_VALUES = 12
_MAX_LENGTH = 120
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LOADS = ("LOAD_FAST", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF")
# Instructions with which the statement before ends, as far as it leaves anything.
_ENDS = ("RESUME", "STORE_", "DELETE_", "POP_TOP", "RAISE_VARARGS", "RETURN_", "JUMP_")


def verdict_of(error: BaseException) -> Verdict | None:
    """Return what an exception says of the tests; None if it says that something went wrong."""
    names = {base.__name__ for base in type(error).__mro__}
    if "OutcomeException" in names:
        return next((verdict for name, verdict in _OF_PYTEST.items() if name in names), None)
    skip = getattr(sys.modules.get("unittest.case"), "SkipTest", None)
    if skip is not None and isinstance(error, skip):
        return "skipped"
    return "failed" if isinstance(error, AssertionError) else None


def values_of(error: BaseException) -> list[tuple[str, str]]:
    """Return the values of the names in the statement of the user's code that failed, short."""
    frames = [entry for entry in _entries(error) if not entry.tb_frame.f_code.co_filename.startswith(_INSTALLED)]
    if not frames:
        return []
    frame = frames[-1].tb_frame
    values = frame.f_globals | frame.f_locals
    found = {}
    for name in _names(frame.f_code, frames[-1].tb_lasti):
        value = values.get(name, types)
        # An address, or the name of a module, says nothing.
        if not callable(value) and not isinstance(value, types.ModuleType) and _has_own_repr(value):
            # A repr is the user's code, and may fail.
            with contextlib.suppress(Exception):
                text = _Short().repr(value)
                found[name] = text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."
    return list(found.items())[-_MAX_VALUES:]


def _has_own_repr(value: object) -> bool:
    own: object = type(value).__repr__
    return own is not object.__repr__


def _entries(error: BaseException) -> Iterator[types.TracebackType]:
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def _names(code: types.CodeType, offset: int) -> list[str]:
    """Return the names that a statement has loaded when its instruction at an offset raises."""
    names: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.offset >= offset:
            break
        if instruction.opname.startswith(_ENDS):
            names.clear()
        elif instruction.opname.startswith(_LOADS):
            loaded = instruction.argval
            names += loaded if isinstance(loaded, tuple) else [loaded]
    return names


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _MAX_LENGTH
