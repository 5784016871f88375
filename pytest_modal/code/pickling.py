"""Pickles for what has no name at the top level of a module: closures, lambdas, partials, instances.

They refer to what has one: the container finds it in the modules that it fills from the shipped statements.
"""

from __future__ import annotations

import ast
import io
import os
import sys
import types
import warnings
from typing import Any, NamedTuple

import cloudpickle

from pytest_modal.code.bindings import found_at
from pytest_modal.code.content import digest_of_content
from pytest_modal.code.local_code import CodeKeyError, changed_since_import
from pytest_modal.code.reach import Reach
from pytest_modal.code.refusals import UnshippableError, refuse_fixture, refuse_variables
from pytest_modal.code.syntax import FunctionSyntax
from pytest_modal.code.units import unit_of
from pytest_modal.remote import slices
from pytest_modal.remote.shipped_form import CODE, NAMES, OF_PACKAGE, THERE
from pytest_modal.remote.statements import SHIPPED, begin, compiled_function, parsed_function

NESTED = "nested"  # as the part of a unit's place: the code of a nested function
_PLAIN = (str, int, float, complex, bytes, tuple, list, dict, set, frozenset, types.CodeType, types.CellType)


def pickled(reach: Reach, value: object, name: str, where: str = "") -> bytes:
    """Pickle a value; what it needs of the project is added to the reach of the function that uses it.

    Parameters
    ----------
    name : str
        What users call the value.
    where : str
        ``path:line`` of the statement that binds it; empty for the function itself.

    Raises
    ------
    UnshippableError
        It can't be pickled.
    """
    if isinstance(value, io.IOBase):
        what = f"uses {name}, which is an open file"
        raise UnshippableError(what, where, "open it in the function's body, or pass its content as a parameter")
    stream = io.BytesIO()
    pickler = _Pickler(stream, reach)
    try:
        with warnings.catch_warnings():  # a look for the module of a function touches deprecated names of others
            warnings.simplefilter("ignore")
            pickler.dump(value)
    except (UnshippableError, CodeKeyError):
        raise
    except Exception as error:
        kind = type(value).__name__
        if not where:
            what = f"can't be shipped: it uses something that can't be pickled ({error})"
            remedy = "open or build that object in the function's body, or pass data as a parameter"
        else:
            what = f"uses {name}, which is made from files of this machine and is no data: {kind} ({error})"
            remedy = "build it in the function's body from data that is passed as a parameter"
        raise UnshippableError(what, where, remedy) from error
    if not where:
        refuse_variables("holds", stream.getvalue(), where)
    reach.note_content(f"value {name}", digest_of_content(value))
    return stream.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles by value what is local and nested, and refers to what is bound at the top level of a local module."""

    def __init__(self, stream: io.BytesIO, reach: Reach) -> None:
        super().__init__(stream, protocol=5)
        self._reach, self._modules = reach, reach.modules
        self._scopes = {id(self._modules.scope(key)): key for key in self._modules.keys}

    def persistent_id(self, obj: Any) -> tuple[Any, ...] | None:
        """Name what the container has already: see `pytest_modal.remote.slices`."""
        kind = type(obj)
        if kind is dict and id(obj) in self._scopes:
            key = self._scopes[id(obj)]
            self._reach.units.setdefault(key, {})
            self._reach.eager.add(key)
            return NAMES, key, ""
        if kind is _Written:
            return (CODE, *obj)
        if obj is None or kind in _PLAIN:
            return None
        if obj is os.environ:
            return OF_PACKAGE, "os", "environ"
        if kind is types.ModuleType:
            return self._module(obj)
        if isinstance(obj, io.IOBase):  # otherwise cloudpickle would read those that are open for reading
            what = f"holds an open file ({getattr(obj, 'name', kind.__name__)})"
            raise UnshippableError(what, "", "open it in the function's body, or pass its content as a parameter")
        refuse_fixture(obj, getattr(obj, "__name__", repr(obj)))
        bound = self._bound_at_top(obj)
        if bound is None:
            self._note_packages(obj)
            return None
        key, name = bound
        self._reach.add_name(key, name)
        self._reach.eager.add(key)
        named = isinstance(obj, types.FunctionType | type) and "<" not in obj.__qualname__
        return THERE, key, obj.__qualname__ if named else name

    def _module(self, module: types.ModuleType) -> tuple[str, str, str] | None:
        key = self._modules.key(vars(module))
        if key is not None:
            self._reach.add_whole_module(key)
            self._reach.eager.add(key)
            return THERE, key, ""
        self._reach.add_package(module.__name__)
        return None

    def _bound_at_top(self, obj: Any) -> tuple[str, str] | None:
        """Return the module and the name at whose top level something is bound."""
        if isinstance(obj, types.FunctionType | type) and "<" not in obj.__qualname__:
            named = sys.modules.get(obj.__module__ or "")
            scope = obj.__globals__ if isinstance(obj, types.FunctionType) else vars(named) if named else {}
            key = self._modules.key(scope) if scope else None
            name = obj.__qualname__.partition(".")[0]
            if key is None or name not in self._modules.units(key).by_name:
                return None
            return (key, name) if found_at(scope, obj.__qualname__) is obj else None
        if isinstance(obj, types.FunctionType):  # a closure or a lambda, perhaps of a name
            own = self._modules.key(obj.__globals__)
            keys = [own] if own is not None else []
        else:
            keys = self._modules.keys
        names = ((key, self._reach.name_of(obj, key)) for key in keys)
        return next(((key, name) for key, name in names if name is not None), None)

    def _note_packages(self, obj: object) -> None:
        for name in (getattr(obj, "__module__", None), type(obj).__module__):
            if not isinstance(name, str) or name.partition(".")[0] == "pytest_modal":
                continue  # the worker's own, or a mock that the plugin has made
            # Some compiled packages put modules there that nobody can import.
            is_importable = getattr(sys.modules.get(name), "__spec__", None) is not None
            if is_importable and self._modules.module(name) is None:
                self._reach.add_package(name)

    def reducer_override(self, obj: Any) -> Any:
        """Pickle a nested function of the project with its module's names as its globals."""
        if type(obj) is types.FunctionType and (key := self._modules.key(obj.__globals__)) is not None:
            return self._nested(obj, key)
        return super().reducer_override(obj)

    def _nested(self, function: types.FunctionType, key: str) -> Any:
        self._reach.units.setdefault(key, {})
        self._reach.eager.add(key)
        written = self._written(function, key)
        state = {
            "__name__": function.__name__,
            "__qualname__": function.__qualname__,
            "__defaults__": function.__defaults__,
            "__kwdefaults__": function.__kwdefaults__,
            "__doc__": function.__doc__,
        }
        cells = {
            name: _content(cell)
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        }
        build = (written or _named_as_shipped(function.__code__, SHIPPED + key), function.__globals__)
        return slices.nested_function, build, (state, function.__dict__, cells), None, None, slices.finish_function

    def _written(self, function: types.FunctionType, key: str) -> _Written | None:
        """Return where a nested function is written, and add what it needs; None if only its code is known."""
        code = function.__code__
        if not code.co_filename.endswith(".py"):  # made from a string
            return None
        nodes = self._modules.syntax(key).definitions(code)
        if not nodes:
            raise changed_since_import(function, self._modules.local.path(key))
        for node in nodes:
            statement = node if isinstance(node, ast.stmt) else ast.copy_location(ast.Expr(node), node)
            unit = unit_of(statement, (begin(statement), statement.col_offset, NESTED))
            unit.uses -= set(code.co_freevars)
            self._reach.add_unit(key, unit)
        return self._found(code, nodes[0], key) if len(nodes) == 1 else None

    def _found(self, code: types.CodeType, node: FunctionSyntax, key: str) -> _Written | None:
        free = list(code.co_freevars)
        first = node.lineno if isinstance(node, ast.Lambda) else begin(node)
        place = first, node.col_offset, node.end_lineno or first, node.end_col_offset or 0
        lines, flags = self._modules.syntax(key).lines, self._modules.units(key).flags
        compiled = compiled_function(parsed_function(lines, *place), key, flags, free)
        # It may have been changed since, by pytest or a decorator, or depend on the class around it.
        used = {name for name in code.co_names if not name.startswith("@")}
        if set(compiled.co_names) | {"AssertionError"} < used or compiled.co_freevars != code.co_freevars:
            return None
        return _Written(key, *place, free, code.co_qualname)


class _Written(NamedTuple):
    """Where a nested function is written: the container compiles it from there."""

    key: str
    first: int
    column: int
    last: int
    last_column: int
    free: list[str]
    qualname: str


def _content(cell: types.CellType) -> list[object]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _named_as_shipped(code: types.CodeType, file: str) -> types.CodeType:
    """Return code that says it is of a shipped module, so that reports find the file again."""
    if not code.co_filename.endswith(".py"):
        return code
    inner = [_named_as_shipped(each, file) if isinstance(each, types.CodeType) else each for each in code.co_consts]
    return code.replace(co_filename=file, co_consts=tuple(inner))
