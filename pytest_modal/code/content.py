"""Content of values that are no data: a digest that is the same in every process."""

from __future__ import annotations

import copyreg
import functools
import inspect
import io
import types
from pathlib import Path
from typing import Any

from cloudpickle import CloudPickler

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.syntax import fingerprint, read_syntax
from pytest_modal.remote import data

_DEEPEST = 50
_OF_ALL_CLASSES = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"}


def digest_of_content(value: object) -> str:
    """Return a digest of a value: of data its own, of code its name, of other objects what they are made from."""
    return _digest(value, ())


def _digest(value: Any, around: tuple[int, ...]) -> str:
    if id(value) in around or len(around) > _DEEPEST:
        return digest_of("circle")
    around = (*around, id(value))
    kind = type(value)
    if kind in (list, tuple):
        return digest_of(kind.__name__, *(_digest(each, around) for each in value))
    if kind is dict:
        return digest_of("dict", *(_digest(each, around) for pair in value.items() for each in pair))
    if kind in (set, frozenset):
        return digest_of(kind.__name__, *sorted(_digest(each, around) for each in value))
    if kind is types.FunctionType:
        return digest_of("function", *_name(value), _written(value), *_held_by(value, around))
    if isinstance(value, type) and "<" in value.__qualname__:  # made in a function: nothing else counts what it has
        members = {name: each for name, each in vars(value).items() if name not in _OF_ALL_CLASSES}
        return digest_of("class", *_name(value), _digest(value.__bases__, around), _digest(members, around))
    if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        return digest_of(kind.__name__, *_name(value))
    if kind is types.MethodType:
        return digest_of("method", _digest(value.__func__, around), _digest(value.__self__, around))
    if kind is functools.partial:
        return digest_of("partial", *(_digest(each, around) for each in (value.func, value.args, value.keywords)))
    try:
        return data.digest(data.encode(value))
    except data.NotDataError:
        return digest_of("object", *_name(kind), _digest(_parts(value), around))


def _held_by(function: types.FunctionType, around: tuple[int, ...]) -> list[str]:
    attributes = {name: each for name, each in vars(function).items() if name != "__wrapped__"}
    held: list[object] = [function.__defaults__, function.__kwdefaults__, attributes or None]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            held.append(None)
    return [_digest(each, around) for each in held if each is not None]


def _written(function: types.FunctionType) -> str:
    """Return a digest of how a function without a name is written; that of others is counted with its statement."""
    code = function.__code__
    if "<" not in function.__qualname__ and code.co_filename.endswith(".py"):
        return ""
    try:
        return fingerprint(*read_syntax(Path(code.co_filename)).definitions(code))
    except (OSError, SyntaxError, ValueError):  # made from a string
        return digest_of(code.co_code.hex(), *map(repr, code.co_consts), *code.co_names)


def _name(thing: Any) -> tuple[str, str]:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "")
    return str(getattr(thing, "__module__", "")), str(name)


def _parts(value: Any) -> object:
    """Return what an object is made from, as pickle sees it."""
    wrapped = inspect.getattr_static(value, "__wrapped__", None)
    if wrapped is not None:
        return wrapped
    # It would read a file that is open.
    reducer = None if isinstance(value, io.IOBase) else CloudPickler.dispatch_table.get(type(value))
    try:
        reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
    except Exception:  # it can't be copied: its attributes are all that there is
        return dict(getattr(value, "__dict__", {}))
    if isinstance(reduced, str):
        return reduced
    return [
        _without_cached(type(value), each)
        for each in reduced
        if each is not None and each not in (copyreg.__newobj__, copyreg.__newobj_ex__)  # type: ignore[attr-defined]
    ]


def _without_cached(kind: type, state: object) -> object:
    """Leave out what a ``cached_property`` has computed: it follows from the rest, whether it was asked for or not."""
    if type(state) is not dict:
        return state
    return {
        name: each
        for name, each in state.items()
        if not isinstance(inspect.getattr_static(kind, str(name), None), functools.cached_property)
    }
