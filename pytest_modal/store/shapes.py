"""Shapes of what comes from elsewhere: messages of containers and files are what their types say, or are refused."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any, Literal, NotRequired, Union, get_args, get_origin

from pytest_modal.remote.data import MAX_DEPTH, CorruptDataError
from pytest_modal.remote.not_data import type_name

_INT64 = range(-(1 << 63), 1 << 63)  # larger ones can't even be printed


def check_shape(value: Any, shape: Any, where: str, *, required: Collection[str] = ()) -> Any:
    """Return a decoded value, if it has a type.

    Parameters
    ----------
    shape : type
        A `TypedDict`, a dataclass (for the dict of its fields), or what annotations are made of.
    where : str
        Name of the value in errors.
    required : collection of str
        Keys that a `TypedDict` which is not total must have all the same.

    Raises
    ------
    CorruptDataError
        It has not; the message says where.
    """
    try:
        _check_of(shape)(value, 0)
    except _WrongShapeError as wrong:
        raise CorruptDataError(f"{where}{''.join(reversed(wrong.path))}: {wrong}") from None
    if missing := [name for name in required if name not in value]:
        raise CorruptDataError(f"{where}: {missing[0]!r} is missing")
    return value


class _WrongShapeError(Exception):
    """The message says what is wrong; `path` where, the innermost part first: it is put together only if needed."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path: list[str] = []


# Takes a value, and how deep it is nested.
_Check = Callable[[Any, int], None]


@functools.cache
def _check_of(shape: Any) -> _Check:
    """Return what checks values of a shape: there may be 100,000 of them."""
    kind, parts = get_origin(shape), get_args(shape)
    if shape is Any:
        return lambda value, depth: None
    if kind in (Union, types.UnionType):
        return _optional(*(each for each in parts if each is not type(None)))
    if kind is Literal:
        return _one_of(parts)
    if kind in (list, tuple):
        return _items(kind, parts)
    if kind is not None and issubclass(kind, Mapping):
        return _entries(*map(_check_of, parts))
    if typing.is_typeddict(shape) or dataclasses.is_dataclass(shape):
        return _with_fields(shape)
    return _number(shape) if shape in (int, float) else _plain(shape)


def _optional(part: Any) -> _Check:
    check = _check_of(part)

    def optional(value: Any, depth: int) -> None:
        if value is not None:
            check(value, depth)

    return optional


def _one_of(values: tuple[Any, ...]) -> _Check:
    def one_of(value: Any, depth: int) -> None:
        if value not in values:
            raise _wrong("one of its values", value)

    return one_of


def _items(kind: type, parts: tuple[Any, ...]) -> _Check:
    checks = [_check_of(part) for part in parts if part is not ...]
    alike = kind is list or parts[-1] is ...

    def items(value: Any, depth: int) -> None:
        _expect(value, kind, depth)
        if not alike and len(value) != len(checks):
            raise _WrongShapeError(f"expected {len(checks)} items, found {len(value):,}")
        number = -1
        try:
            for check, each in zip(itertools.cycle(checks), value, strict=False):
                number += 1
                check(each, depth + 1)
        except _WrongShapeError as wrong:
            wrong.path.append(f"[{number}]")
            raise

    return items


def _entries(check_key: _Check, check_value: _Check) -> _Check:
    def entries(value: Any, depth: int) -> None:
        _expect(value, dict, depth)
        for key, each in value.items():
            check_key(key, depth + 1)
            try:
                check_value(each, depth + 1)
            except _WrongShapeError as wrong:
                wrong.path.append(f"[{key!r:.60}]")
                raise

    return entries


def _with_fields(shape: Any) -> _Check:
    def with_fields(value: Any, depth: int) -> None:
        _expect(value, dict, depth)
        checks, needed = _fields(shape)
        if not value.keys() <= checks.keys():
            unknown = next(name for name in value if name not in checks)
            raise _WrongShapeError(f"{unknown!r:.60} is not known")
        if not needed <= value.keys():
            missing = next(name for name in needed if name not in value)
            raise _WrongShapeError(f"{missing!r} is missing")
        name = ""
        try:
            for name, each in value.items():
                checks[name](each, depth + 1)
        except _WrongShapeError as wrong:
            wrong.path.append(f".{name}")
            raise

    return with_fields


@functools.cache
def _fields(shape: Any) -> tuple[dict[str, _Check], Set[str]]:
    """Return the checks of the fields, and the names of those that have to be there; a shape can be one of its own."""
    hints = typing.get_type_hints(shape, include_extras=True)
    # Of annotations that are strings, `__required_keys__` does not see what is not required.
    needed = [name for name, hint in hints.items() if get_origin(hint) is not NotRequired]
    if not getattr(shape, "__total__", True):
        needed = []
    if dataclasses.is_dataclass(shape):
        unset = dataclasses.MISSING
        needed = [each.name for each in dataclasses.fields(shape) if each.default is each.default_factory is unset]
    types_of = {name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()}
    return {name: _check_of(each) for name, each in types_of.items()}, dict.fromkeys(needed).keys()


def _number(kind: type) -> _Check:
    kinds, expected = ((int, float), "a finite number") if kind is float else ((kind,), kind.__name__)

    def number(value: Any, depth: int) -> None:
        if type(value) not in kinds or (type(value) is float and not math.isfinite(value)):
            raise _wrong(expected, value)
        if type(value) is int and value not in _INT64:
            raise _WrongShapeError("a number that is too large")

    return number


def _plain(kind: type) -> _Check:
    def plain(value: Any, depth: int) -> None:
        if type(value) is not kind:
            raise _wrong(kind.__name__, value)

    return plain


def _expect(value: Any, kind: type, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _WrongShapeError("nested too deeply")
    if type(value) is not kind:
        raise _wrong(kind.__name__, value)


def _wrong(expected: str, value: Any) -> _WrongShapeError:
    return _WrongShapeError(f"expected {expected}, found {type_name(type(value))}")
