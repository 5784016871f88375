"""Shipping of functions by value: what a container unpickles needs no module of the project.

A function travels with the helpers, classes and constants that it reaches by name in any module under the
rootdir, compiled from source, free of pytest's assertion rewriting. What unpickles it travels too.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import importlib.util
import io
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle

from pytest_modal.batch.calls import ShippedFunction
from pytest_modal.batch.digest import digest_of
from pytest_modal.code.keys import code_parts
from pytest_modal.code.local_code import CodeKeyError, is_local
from pytest_modal.remote import standins
from pytest_modal.wording import shown_path, three_parts


class ShippingError(Exception):
    """A function can't be shipped; the message says why and what to do."""


class Shipper:
    """Pickles functions by value, each once.

    Parameters
    ----------
    rootdir : Path
        Modules under it are local: what they define travels by value.
    travels : bool
        Whether functions will be sent. Otherwise only their content is looked at.
    """

    def __init__(self, rootdir: Path, *, travels: bool = True) -> None:
        self._rootdir = rootdir
        self._travels = travels
        self._shipped: dict[tuple[object, tuple[str, ...], str], ShippedFunction] = {}

    def ship(
        self, function: Callable[..., object], name: str, local_packages: tuple[str, ...], role: str = "function"
    ) -> ShippedFunction:
        """Return `function` as bytes.

        Parameters
        ----------
        function : callable
            What will be called.
        name : str
            What users call it.
        local_packages : tuple of str
            Packages whose source travels as it is.
        role : str
            What messages about a change of its code call it.

        Raises
        ------
        ShippingError
            It uses something that can't travel: a local module, a fixture, an open file.
        """
        key = (function, local_packages, role)
        if key not in self._shipped:
            self._shipped[key] = self._ship(function, name, local_packages, role)
        return self._shipped[key]

    def _ship(
        self, function: Callable[..., object], name: str, local_packages: tuple[str, ...], role: str
    ) -> ShippedFunction:
        location = self.location(function)
        try:
            parts = code_parts(function, self._rootdir, local_packages, role=role)
        except CodeKeyError as error:
            raise ShippingError(str(error)) from None
        payload, imports = self._pickle(function, name, local_packages) if self._travels else (b"", ())
        # The line in the file does not count. A function from outside of the project, such as a mock, has no source to
        # compare: its bytes count instead.
        path = location.rpartition(":")[0]
        own = [f"{part}={digest}" for part, digest in parts.items()]
        key = digest_of(name, path, *own, "" if own and not Path(path).is_absolute() else payload.hex())
        return ShippedFunction(key, name, location, payload, imports, parts)

    def _pickle(
        self, function: Callable[..., object], name: str, local_packages: tuple[str, ...]
    ) -> tuple[bytes, tuple[str, ...]]:
        location = self.location(function)
        local = [module for module in _loaded_modules() if self._is_local(module, local_packages)]
        stream = io.BytesIO()
        pickler = _Pickler(stream, name, location, {module.__name__ for module in local})
        try:
            with _by_value(local):
                pickler.dump(function)
        except ShippingError:
            raise
        except Exception as error:
            what = f"{name} can't be shipped: it uses something that can't be pickled ({error})"
            remedy = "open or build that object in the function's body, or pass data as a parameter"
            raise ShippingError(three_parts(what, location, remedy)) from error
        return stream.getvalue(), tuple(sorted(pickler.imports))

    def location(self, function: Callable[..., object]) -> str:
        """Return ``path:line`` of a function, relative to the rootdir."""
        code = getattr(function, "__code__", None)
        if code is None:
            return repr(function)
        return f"{shown_path(Path(code.co_filename), self._rootdir)}:{code.co_firstlineno}"

    def _is_local(self, module: types.ModuleType, local_packages: tuple[str, ...]) -> bool:
        path = getattr(module, "__file__", None)
        name = module.__name__
        if not isinstance(path, str) or name.partition(".")[0] in (*local_packages, "pytest_modal"):
            return False
        return is_local(path, self._rootdir)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Replaces functions by plain ones, refuses what can't travel, and notes which modules are imported.

    Attributes
    ----------
    imports : set of str
        Dotted names of what is not local: imported in a body, or needed to unpickle.
    """

    def __init__(self, stream: io.BytesIO, name: str, location: str, local: set[str]) -> None:
        super().__init__(stream, protocol=5)
        self._name, self._location, self._local = name, location, local
        self.imports: set[str] = set()

    def reducer_override(self, obj: object) -> object:
        if (standin := _standin_for(obj)) is not None:
            return standins.load, (standin,)
        self._note_modules(obj)
        # Before pytest 8.4 a fixture is a function too.
        if not isinstance(obj, types.ModuleType) and _is_fixture(obj):
            what = f"{self._name} uses the fixture {getattr(obj, '__name__', obj)!r} directly instead of requesting it"
            raise ShippingError(three_parts(what, self._location, "name the fixture as a parameter, as in pytest"))
        if isinstance(obj, types.FunctionType) and obj.__module__ in self._local:
            obj = plain_function(obj)
            self._check_uses_of_pytest(obj)
            self.imports.update(imported_by(obj.__code__))
        elif isinstance(obj, types.ModuleType):
            self._check_module(obj.__name__)
        elif isinstance(obj, types.CodeType):
            return _code_with_its_file(obj, self.dispatch_table[types.CodeType])
        return super().reducer_override(obj)

    def _note_modules(self, obj: object) -> None:
        for name in (
            obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None),
            type(obj).__module__,
        ):
            if isinstance(name, str) and name not in self._local:
                self.imports.add(name)

    def _check_module(self, name: str) -> None:
        top = name.partition(".")[0]
        if name in self._local:
            what = f"{self._name} uses the local module {name!r}, which a container does not have (PM105)"
            remedy = (
                f"write `from {name} import ...` for what it needs at the top of the file, so that it travels by "
                f'value, or ship the package: local_packages=["{top}"]'
            )
            raise ShippingError(three_parts(what, self._location, remedy))
        if top in ("pytest", "_pytest", "pytest_modal"):
            raise self._not_there(name)

    def _check_uses_of_pytest(self, function: types.FunctionType) -> None:
        """Refuse what a container does not have of pytest, before anything is sent."""
        for code in _codes(function.__code__):
            instructions = list(dis.get_instructions(code))
            for load, then in itertools.pairwise(instructions):
                value = function.__globals__.get(load.argval) if load.opname == "LOAD_GLOBAL" else None
                if value is None or value is not sys.modules.get("pytest"):
                    continue
                used = then.argval if then.opname in ("LOAD_ATTR", "LOAD_METHOD") else ""
                if used not in standins.NAMES:
                    raise self._not_there(f"pytest.{used}" if used else "pytest")

    def _not_there(self, name: str) -> ShippingError:
        what = f"{self._name} uses {name!r}, which a container does not have"
        had = ", ".join(f"pytest.{each}" for each in standins.NAMES)
        remedy = f"return data from the function and use {name} in the test; a container has {had}"
        return ShippingError(three_parts(what, self._location, remedy))


def _code_with_its_file(code: types.CodeType, reduce: Callable[[types.CodeType], tuple[Any, ...]]) -> tuple[Any, ...]:
    # From 3.1.3 on cloudpickle names no file ("<dynamic-code>"), so that a remote traceback would show neither file
    # nor source. In the constructor of code objects the file is the eleventh argument in every Python from 3.11 on.
    build, fields = reduce(code)
    return build, (*fields[:10], code.co_filename, *fields[11:])


def _standin_for(obj: object) -> str | None:
    """Return the name of the substitute for something of pytest; an empty one for the module itself."""
    pytest = sys.modules.get("pytest")
    if pytest is None:
        return None
    if obj is pytest:
        return ""
    return next((name for name in standins.NAMES if obj is getattr(pytest, name)), None)


def _is_fixture(obj: object) -> bool:
    return hasattr(obj, "_get_wrapped_function") or hasattr(obj, "_pytestfixturefunction")


@contextlib.contextmanager
def _by_value(modules: list[types.ModuleType]) -> Iterator[None]:
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _loaded_modules() -> list[types.ModuleType]:
    # cloudpickle finds a module again by its name: aliases under another name are left out.
    return [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and getattr(module, "__name__", None) == name
    ]


def plain_function(function: types.FunctionType) -> types.FunctionType:
    """Return the function without annotations and without what pytest's import hook made of its asserts.

    Annotations would make the container import what they name, though nothing there needs it.
    """
    code = _without_assertion_rewriting(function)
    if code is function.__code__ and not function.__annotations__:
        return function
    copy = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    copy.__doc__ = function.__doc__
    copy.__dict__.update(function.__dict__)
    return copy


def _without_assertion_rewriting(function: types.FunctionType) -> types.CodeType:
    if not any(name.startswith("@") for code in _codes(function.__code__) for name in code.co_names):
        return function.__code__
    plain = _plain_codes(function.__code__.co_filename).get(_identity(function.__code__))
    if plain is None:
        raise ShippingError(
            three_parts(
                f"{function.__qualname__} was not found in its source file",
                f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}",
                "run pytest again: the file changed while it ran",
            )
        )
    return plain


def imported_by(code: types.CodeType) -> set[str]:
    """Return the dotted names that code imports, ``from a import b`` as ``a.b``; relative imports are local."""
    found: set[str] = set()
    for each in _codes(code):
        module, level = "", 0
        constants: list[Any] = [0, None]
        for instruction in dis.get_instructions(each):
            if instruction.opname == "IMPORT_NAME":
                module, level = str(instruction.argval), constants[-2]
                if not level:
                    found.add(module)
            elif instruction.opname == "IMPORT_FROM" and not level:
                found.add(f"{module}.{instruction.argval}")
            elif instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
                constants.append(instruction.argval)
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _identity(code: types.CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


@functools.lru_cache(maxsize=64)
def _plain_codes(path: str) -> dict[tuple[str, int], types.CodeType]:
    source = importlib.util.decode_source(Path(path).read_bytes())
    # The flags of this module (its own __future__ import) must not leak into the user's code.
    return {_identity(code): code for code in _codes(compile(source, path, "exec", dont_inherit=True))}
