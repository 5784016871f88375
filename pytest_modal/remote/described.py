"""Exceptions as data, whatever their shape: a class of the project's can do anything when it is asked for its text."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from pytest_modal.remote import debugger, slices, standins
from pytest_modal.remote.framing import Described
from pytest_modal.remote.streams import encodable
from pytest_modal.remote.verdicts import Verdict, values_of, verdict_of

MAX_FRAMES = 100
MAX_EXCEPTIONS = 50  # of causes, contexts and groups together: those nearest to the one that was raised
MAX_DEPTH = 20  # of causes, contexts and groups within each other
MAX_TEXT = 20_000  # characters of a message: its beginning and its end
_OWN = {debugger.__file__, slices.__file__, standins.__file__}  # their frames say nothing of the function

Notes = Callable[[BaseException], Iterable[str]]


def no_notes(error: BaseException) -> Iterable[str]:
    """Say nothing about an exception."""
    return ()


def describe(error: BaseException, notes: Notes = no_notes, own: Iterable[str] = ()) -> Described:
    """Turn an exception into data: type, message, notes, frames, causes.

    Frames are ``(file, line, function)``; the source lines are looked up on the user's machine. What is too long or too
    deep is cut, and a note says so.

    Parameters
    ----------
    notes : callable
        Says more of an exception.
    own : iterable of str
        Further files whose frames say nothing of the function.
    """
    return _Describer(notes, _OWN | {*own}).describe(error)


class _Describer:
    """Describes one exception that was raised, with all that hang on it."""

    def __init__(self, notes: Notes, own: set[str]) -> None:
        self._notes = notes
        self._own = own
        self._left = MAX_EXCEPTIONS

    def describe(self, error: BaseException, above: tuple[int, ...] = ()) -> Described:
        above = (*above, id(error))
        self._left -= 1
        described: Described = {
            "type": _type_name(type(error)),
            "message": _text_of(error),
            "notes": [*_notes_of(error), *self._notes(error)],
            "frames": self._frames(error)[-MAX_FRAMES:],
        }
        if verdict := _verdict(error):
            described["verdict"] = verdict
            described["values"] = _values(error) if isinstance(error, AssertionError) else []
        if (linked := _linked(error)) is not None and id(linked[1]) not in above:
            if self._left <= 0 or len(above) >= MAX_DEPTH:
                described["notes"].append(_left_out(_length(error), f"{linked[0]}s"))
            elif linked[0] == "cause":
                described["cause"] = self.describe(linked[1], above)
            else:
                described["context"] = self.describe(linked[1], above)
        if isinstance(error, BaseExceptionGroup):
            self._describe_group(error, described, above)
        return described

    def _describe_group(self, group: BaseExceptionGroup[Any], described: Described, above: tuple[int, ...]) -> None:
        inner: tuple[BaseException, ...] = _own_attribute(BaseExceptionGroup, "exceptions", group)
        shown = []
        for each in inner:
            if self._left <= 0 or len(above) >= MAX_DEPTH or id(each) in above:
                break
            shown.append(self.describe(each, above))
        described["exceptions"] = shown
        if len(shown) < len(inner):
            described["notes"].append(_left_out(len(inner) - len(shown), "exceptions of the group"))

    def _frames(self, error: BaseException) -> list[tuple[str, int, str]]:
        return [
            (encodable(frame.f_code.co_filename), line, encodable(frame.f_code.co_name))
            for frame, line in traceback.walk_tb(_own_attribute(BaseException, "__traceback__", error))
            if frame.f_code.co_filename not in self._own
        ]


def shortened(text: str) -> str:
    """Return a text that can be sent and shown: what is between its beginning and its end is cut if it is long."""
    text = encodable(text)
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out ...]\n{text[-half:]}"


def _left_out(number: int, what: str) -> str:
    return f"({number:,} more {what} left out)"


def _own_attribute(kind: type, name: str, error: BaseException) -> Any:
    """Return what Python itself keeps under a name: a class can have a property of that name."""
    return vars(kind)[name].__get__(error)


def _linked(error: BaseException) -> tuple[Literal["cause", "context"], BaseException] | None:
    cause = _own_attribute(BaseException, "__cause__", error)
    if cause is not None:
        return "cause", cause
    context = _own_attribute(BaseException, "__context__", error)
    if context is None or _own_attribute(BaseException, "__suppress_context__", error):
        return None
    return "context", context


def _length(error: BaseException) -> int:
    """Return how many exceptions a chain has below this one."""
    seen = {id(error)}
    for each in _chain(error):
        if id(each) in seen:
            break
        seen.add(id(each))
    return len(seen) - 1


def _chain(error: BaseException) -> Iterator[BaseException]:
    while (linked := _linked(error)) is not None:
        error = linked[1]
        yield error


def _type_name(kind: type[BaseException]) -> str:
    try:
        name, module = kind.__qualname__, kind.__module__
        return encodable(name if module == "builtins" else f"{module}.{name}")
    except BaseException:
        return encodable(type.__dict__["__name__"].__get__(kind))


def _text_of(error: BaseException) -> str:
    # A KeyboardInterrupt or a SystemExit is no reason to end either: it came from the text.
    try:
        return shortened(str(error))
    except BaseException as broken:
        return f"<str() of it raised {_type_name(type(broken))}>"


def _notes_of(error: BaseException) -> list[str]:
    try:
        notes = getattr(error, "__notes__", [])
        return [shortened(str(note)) for note in list(notes)[:MAX_EXCEPTIONS]]
    except BaseException as broken:
        return [f"<reading its notes raised {_type_name(type(broken))}>"]


def _verdict(error: BaseException) -> Verdict | None:
    try:
        return verdict_of(error)
    except BaseException:
        return None


def _values(error: BaseException) -> list[tuple[str, str]]:
    try:
        return [(encodable(name), encodable(value)) for name, value in values_of(error)]
    except BaseException:
        return []
