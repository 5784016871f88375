"""Shapes of what comes from elsewhere: messages of containers and files are what their types say, or are refused."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Collection, Mapping
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
    _check(value, shape, where, 0)
    if missing := [name for name in required if name not in value]:
        raise CorruptDataError(f"{where}: {missing[0]!r} is missing")
    return value


def _check(value: Any, shape: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CorruptDataError("nested too deeply")
    if shape is Any:
        return
    kind, parts, has_fields = _anatomy(shape)
    if kind in (Union, types.UnionType):
        _check_union(value, parts, where, depth)
    elif kind is Literal:
        if value not in parts:
            raise _wrong(where, "one of its values", value)
    elif kind in (list, tuple):
        _check_items(value, kind, parts, where, depth)
    elif kind is not None and issubclass(kind, Mapping):
        _expect(value, dict, where)
        for key, each in value.items():
            _check(key, parts[0], where, depth + 1)
            _check(each, parts[1], f"{where}[{key!r:.60}]", depth + 1)
    elif has_fields:
        _check_fields(value, shape, where, depth)
    else:
        _check_plain(value, shape, where)


@functools.cache
def _anatomy(shape: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Return the origin and the arguments of a shape, and whether it has fields: asked for with each value."""
    has_fields = typing.is_typeddict(shape) or dataclasses.is_dataclass(shape)
    return get_origin(shape), get_args(shape), has_fields


def _check_union(value: Any, parts: tuple[Any, ...], where: str, depth: int) -> None:
    if value is None and type(None) in parts:
        return
    (other,) = (each for each in parts if each is not type(None))
    _check(value, other, where, depth)


def _check_items(value: Any, kind: type, parts: tuple[Any, ...], where: str, depth: int) -> None:
    _expect(value, kind, where)
    if kind is list or parts[-1] is ...:
        parts = (parts[0],) * len(value)
    if len(value) != len(parts):
        raise CorruptDataError(f"{where}: expected {len(parts)} items, found {len(value):,}")
    for number, (each, part) in enumerate(zip(value, parts, strict=True)):
        _check(each, part, f"{where}[{number}]", depth + 1)


def _check_fields(value: Any, shape: Any, where: str, depth: int) -> None:
    _expect(value, dict, where)
    fields, needed = _fields(shape)
    if unknown := [name for name in value if name not in fields]:
        raise CorruptDataError(f"{where}: {unknown[0]!r:.60} is not known")
    if missing := [name for name in needed if name not in value]:
        raise CorruptDataError(f"{where}: {missing[0]!r} is missing")
    for name, each in value.items():
        _check(each, fields[name], f"{where}.{name}", depth + 1)


@functools.cache
def _fields(shape: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the types of the fields, and the names of those that have to be there."""
    hints = typing.get_type_hints(shape, include_extras=True)
    # Of annotations that are strings, `__required_keys__` does not see what is not required.
    needed = [name for name, hint in hints.items() if get_origin(hint) is not NotRequired]
    if not getattr(shape, "__total__", True):
        needed = []
    if dataclasses.is_dataclass(shape):
        unset = dataclasses.MISSING
        needed = [each.name for each in dataclasses.fields(shape) if each.default is each.default_factory is unset]
    return {
        name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()
    }, needed


def _check_plain(value: Any, kind: type, where: str) -> None:
    if kind is float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise _wrong(where, "a finite number", value)
    else:
        _expect(value, kind, where)
    if type(value) is int and value not in _INT64:
        raise CorruptDataError(f"{where}: a number that is too large")


def _expect(value: Any, kind: type, where: str) -> None:
    if type(value) is not kind:
        raise _wrong(where, kind.__name__, value)


def _wrong(where: str, expected: str, value: Any) -> CorruptDataError:
    return CorruptDataError(f"{where}: expected {expected}, found {type_name(type(value))}")
