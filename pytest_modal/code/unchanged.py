"""Differences between this machine and the files: files that changed since, names that were bound to something else."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator

from pytest_modal.code.bindings import Modules, is_package_without_file
from pytest_modal.code.local_code import changed_since_import
from pytest_modal.code.refusals import is_fixture
from pytest_modal.code.syntax import codes_of
from pytest_modal.code.units import Unit

# Other loaders may change the code of what they load.
_LOADERS = {"SourceFileLoader", "AssertionRewritingHook"}


class Unchanged:
    """Compares the functions of modules with their files, each module once.

    Parameters
    ----------
    modules : Modules
        The local modules.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._checked: set[str] = set()

    def check(self, key: str) -> None:
        """Compare a module with its file.

        Raises
        ------
        CodeKeyError
            A function is not, or not so, in the file.
        """
        if key in self._checked or is_package_without_file(key):
            return
        scope = self._modules.scope(key)
        written = {
            (code.co_qualname, code.co_firstlineno): code
            for code in codes_of(self._modules.syntax(key).tree, self._modules.units(key).flags)
        }
        is_plain = type(scope.get("__loader__")).__name__ in _LOADERS
        for function in _functions_of(scope):
            code = function.__code__
            same = written.get((code.co_qualname, code.co_firstlineno))
            # What pytest makes of asserts differs from the file.
            if same is None or (is_plain and same != code and not _is_rewritten(code)):
                raise changed_since_import(function, self._modules.local.path(key))
        self._checked.add(key)


def _functions_of(scope: object) -> Iterator[types.FunctionType]:
    """Yield the functions that a module has at its top level and in its classes, and that were written in it."""
    assert isinstance(scope, dict)
    for value in list(scope.values()):
        if is_fixture(value):
            continue
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for each in members:
            is_own = isinstance(each, types.FunctionType) and each.__globals__ is scope
            if is_own and "<" not in each.__qualname__ and each.__code__.co_filename.endswith(".py"):
                yield each


def _is_rewritten(code: types.CodeType) -> bool:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return any(name.startswith("@") for name in code.co_names) or any(map(_is_rewritten, inner))


def is_replaced(modules: Modules, key: str, unit: Unit) -> bool:
    """Whether a name is bound to something else on this machine than what its statement makes, as a patch does.

    Only what can be told is: plain functions and classes, and constants that are written out.
    """
    scope = modules.scope(key)
    bound = [name for name in unit.binds if name in scope]
    if len(bound) != 1 or len(modules.units(key).by_name.get(bound[0], ())) != 1:
        return False
    value = scope[bound[0]]
    match unit.node:
        case ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[]):
            return not is_fixture(value) and not _is_written_at(value, unit, scope)
        case ast.ClassDef(decorator_list=[], keywords=[]):
            return isinstance(value, type) and value.__module__ != modules.name(key)
        case ast.Assign(value=ast.Constant(value=written)) | ast.AnnAssign(value=ast.Constant(value=written)):
            changed = bound[0] in modules.units(key).reassigned
            return not changed and (type(value) is not type(written) or value != written)
    return False


def _is_written_at(value: object, unit: Unit, scope: object) -> bool:
    if not isinstance(value, types.FunctionType) or value.__globals__ is not scope:
        return False
    return unit.line <= value.__code__.co_firstlineno <= unit.end
