"""Files that changed since they were imported: what would be sent is not what was collected."""

from __future__ import annotations

import types
from collections.abc import Iterator

from pytest_modal.code.bindings import Modules, is_package_without_file
from pytest_modal.code.local_code import changed_since_import
from pytest_modal.code.refusals import is_fixture
from pytest_modal.code.syntax import codes_of

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
