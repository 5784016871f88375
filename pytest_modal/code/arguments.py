"""Arguments that are code, or hold some: functions, classes, members of enums, dtypes, devices, dataclasses."""

from __future__ import annotations

import dataclasses
import enum
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

from pytest_modal.code.content import digest_of_content
from pytest_modal.remote import data

_CODE = (type, types.FunctionType, enum.Enum)
_NAMED = (("torch", "dtype"), ("torch", "device"), ("numpy", "dtype"))  # found again by their name


def digest_of_argument(value: object, name: str) -> str:
    """Return the content digest of an argument.

    Raises
    ------
    NotDataError
        It is neither data nor code.
    """
    try:
        return data.digest(data.encode(value, name, argument=name))
    except data.NotDataError:
        if not holds_code_only(value):
            raise
        return digest_of_content(value)


def holds_code_only(value: object) -> bool:
    """Whether all that is not data in a value is code, so that it travels and keeps its type."""
    return all(_travels(each) for each in _leaves(value, ()))


def _leaves(value: Any, around: tuple[int, ...]) -> Iterator[object]:
    if id(value) in around or len(around) > data.MAX_DEPTH:
        yield _Circle()
        return
    around = (*around, id(value))
    inside: list[object] = []
    if type(value) in (list, tuple):
        inside = list(value)
    elif type(value) is dict:
        inside = [each for pair in value.items() for each in pair]
    elif isinstance(value, functools.partial):
        inside = [value.func, value.args, value.keywords]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = list(vars(value).values()) if hasattr(value, "__dict__") else _slots(value)
    else:
        yield value
    for each in inside:
        yield from _leaves(each, around)


def _slots(value: Any) -> list[object]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


class _Circle:
    pass


def _travels(value: object) -> bool:
    if isinstance(value, _CODE):
        return True
    if isinstance(value, types.BuiltinFunctionType):  # of a module, not a method of some object
        return value.__self__ is None or isinstance(value.__self__, types.ModuleType)
    if any(isinstance(value, getattr(sys.modules.get(library), name, _Circle)) for library, name in _NAMED):
        return True
    try:
        data.encode(value, argument="value")
    except data.NotDataError:
        return False
    return True
