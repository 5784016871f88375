"""Content keys of functions: which parts of the project's code a result depends on, each with its own digest.

A function's parts are its own syntax and what it reaches by name in local modules: helpers, classes, constants,
defaults of arguments, closures. Comments, docstrings, formatting, line numbers and Python's minor version don't
count; nor do installed packages, which are recorded and shown instead. ModuleSyntax is read, not bytecode: what pytest
makes of asserts changes nothing.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.local_code import PYTESTS_AND_OURS, CodeKeyError, LocalCode, Names, Origin
from pytest_modal.code.syntax import FunctionSyntax, bare, defaults, fingerprint, mentions, names_in
from pytest_modal.remote import data
from pytest_modal.wording import three_parts

__all__ = ["CodeKeyError", "changed", "code_parts", "declared_parts"]

# Keywords of our decorator whose values have no content to compare: their source is compared instead.
_BY_SOURCE = ("env", "image", "volumes")
_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def code_parts(
    function: Callable[..., object], rootdir: Path, local_packages: Sequence[str] = (), *, role: str = "function"
) -> dict[str, str]:
    """Return digests of all local code that the result of a function depends on.

    Parameters
    ----------
    function : callable
        A plain function, decorated or not.
    rootdir : Path
        Modules under it are local, but those of installed packages in it.
    local_packages : sequence of str
        Importable packages that travel as they are: all of their Python files count.
    role : str
        What to call the function itself: "function", "container fixture".

    Returns
    -------
    dict of str to str
        For instance ``{"function answers": ..., "helper inference.answer_all": ...,
        "constant inference.LONGEST_ANSWER": ..., "default argument batch of inference.answer_all": ...}``.

    Raises
    ------
    CodeKeyError
        A source file is gone, was changed since it was imported, or is not Python.
    """
    walk = _Walk(rootdir, tuple(local_packages))
    walk.start(function, role)
    for package in local_packages:
        walk.package(package)
    return dict(sorted(walk.parts.items()))


def declared_parts(test: Callable[..., object], rootdir: Path) -> dict[str, str]:
    """Return digests of the ``image=``, ``env=`` and ``volumes=`` that a test's own markers declare, by their source.

    Those that a remote fixture declares are among its `code_parts`.
    """
    walk = _Walk(rootdir, ())
    walk.declarations(test)
    return dict(sorted(walk.parts.items()))


def changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return in words which parts differ: nothing for equal code."""
    words = []
    for part in sorted({*old, *new}):
        if part not in old:
            words.append(f"{part} is new")
        elif part not in new:
            words.append(f"{part} is gone")
        elif old[part] != new[part]:
            words.append(f"{part} changed")
    return words


class _Walk:
    """Follows names from a function through local modules; each thing that it meets becomes a part."""

    def __init__(self, rootdir: Path, local_packages: tuple[str, ...]) -> None:
        self._rootdir, self._local = rootdir, LocalCode(rootdir, local_packages)
        self.parts: dict[str, str] = {}
        self._seen: dict[int, Any] = {}  # by id; kept alive, so that an id stays its own
        self._led_to: dict[tuple[int, str], str] = {}  # what a name of a module refers to

    def start(self, function: Callable[..., object], role: str) -> None:
        own = inspect.unwrap(function)
        name = getattr(own, "__name__", type(own).__name__)
        if isinstance(own, types.FunctionType) and self._local.path_of(own) is not None:
            self._function(own, f"{role} {name}", name)
        else:
            self._put(f"{role} {name}", digest_of("installed", getattr(own, "__module__", ""), name))
        self._inside(function)  # the wrappers around it

    def declarations(self, test: Callable[..., object]) -> None:
        """Add what the markers of a test declare."""
        own = inspect.unwrap(test)
        path = self._local.path_of(own) if isinstance(own, types.FunctionType) else None
        if path is not None:
            for node in self._local.definitions(own, path):
                self._declared(node, own.__name__, own.__globals__)

    def package(self, name: str) -> None:
        """Add all Python files of a local package."""
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise CodeKeyError(
                three_parts(
                    f"the local package {name!r} can't be found",
                    f'local_packages=["{name}"]',
                    "use the import name of a package that can be imported on this machine",
                )
            )
        for root in spec.submodule_search_locations or ():
            for path in sorted(Path(root).rglob("*.py")):
                self._put(f"local package {name}/{path.relative_to(root).as_posix()}", self._local.digest(path))
        if not spec.submodule_search_locations and spec.origin:
            self._put(f"local package {name}.py", self._local.digest(Path(spec.origin)))

    def _put(self, part: str, digest: str) -> None:
        # Two things can have one name (modules of one name, closures made by one function): both count.
        known = self.parts.get(part)
        self.parts[part] = digest if known is None else digest_of(known, digest)

    def _first_time(self, thing: object) -> bool:
        new = id(thing) not in self._seen
        self._seen[id(thing)] = thing
        return new

    def _function(self, function: types.FunctionType, part: str, name: str) -> None:
        if not self._first_time(function):
            return
        path, scope = self._local.path_of(function), function.__globals__
        if path is not None:
            nodes = self._local.definitions(function, path)
            for node in nodes:
                self._declared(node, name, scope)
                self._defaults(function, node, name)
            stripped = [bare(node, _others(node, scope)) for node in nodes]
            self._syntax(part, stripped, scope)
        self._closure(function, name, of_package=path is None)
        self._inside(vars(function).get("__wrapped__"))

    def _closure(self, function: types.FunctionType, name: str, *, of_package: bool) -> None:
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            if of_package or variable == "__class__":
                self._inside(value)
            else:
                self._constant(value, f"closure {variable} of {name}", [], {})

    def _defaults(self, function: types.FunctionType, node: FunctionSyntax, name: str) -> None:
        positional, by_keyword = defaults(node)
        values = dict(zip(positional, function.__defaults__ or (), strict=False)) | (function.__kwdefaults__ or {})
        for argument, expression in (positional | by_keyword).items():
            part = f"default argument {argument} of {name}"
            self._constant(values.get(argument), part, [expression], function.__globals__)

    def _declared(self, node: FunctionSyntax, name: str, scope: Names) -> None:
        for decorator in getattr(node, "decorator_list", ()):
            for keyword in getattr(decorator, "keywords", ()):
                if keyword.arg in _BY_SOURCE and _is_ours(decorator, scope):
                    self._put(f"{keyword.arg} of {name}", fingerprint(keyword.value))
                    # What such a name is bound to counts by its source too: a value may be a secret.
                    for used in names_in(keyword.value):
                        for origin in self._local.origins(used, scope):
                            part = f"{keyword.arg} {origin.module}.{origin.name}"
                            self.parts[part] = fingerprint(*origin.statements)

    def _syntax(self, part: str, nodes: Sequence[ast.AST], scope: Names) -> None:
        """Add syntax, and all that its names lead to: the same text is another when a name means another thing."""
        meanings = self._meanings(nodes, scope)
        self._put(part, digest_of(fingerprint(*nodes), *meanings))

    def _meanings(self, nodes: Iterable[ast.AST], scope: Names) -> list[str]:
        return [
            f"{name} is {meaning}"
            for name in names_in(*nodes)
            for origin in self._local.origins(name, scope)
            if (meaning := self._meaning(origin))
        ]

    def _meaning(self, origin: Origin) -> str:
        if origin.key in self._led_to:
            return self._led_to[origin.key]
        full, value = f"{origin.module}.{origin.name}", origin.scope.get(origin.name)
        self._led_to[origin.key] = full  # for names that lead back here before it is known
        if origin.imported:
            # The object itself does not count: its version may differ here, or a stub may replace it.
            self._put(f"import {full}", fingerprint(*origin.statements))
            if isinstance(value, types.ModuleType):  # a local one after all
                self._inside(value)
        elif origin.name in origin.scope:
            self._led_to[origin.key] = self._value(value, full, origin.statements, origin.scope)
        else:
            self._led_to[origin.key] = ""
        return self._led_to[origin.key]

    def _value(self, value: object, full: str, statements: Sequence[ast.AST], scope: Names) -> str:
        """Add what a name refers to; return its full name."""
        if isinstance(value, types.FunctionType):
            if self._local.path_of(value) is not None:
                own = value.__code__.co_qualname
                known = full if full and own.endswith("<lambda>") else f"{value.__globals__.get('__name__')}.{own}"
                self._function(value, f"helper {known}", known)
                return known
            self._function(value, "", "")
        elif isinstance(value, type) and self._local.has_module(value.__module__):
            return self._class(value, full, statements, scope)
        elif isinstance(value, types.ModuleType):
            path = self._local.file(vars(value))
            if path is not None and self._first_time(value):
                self._put(f"module {value.__name__}", self._local.digest(path))
            return value.__name__
        if full and (statements or not callable(value)):
            self._constant(value, f"constant {full}", statements, scope)
        return full

    def _class(self, kind: type, full: str, statements: Sequence[ast.AST], scope: Names) -> str:
        own = vars(sys.modules[kind.__module__])
        path = self._local.file(own)
        found = self._local.read(path).classes.get(kind.__qualname__, []) if path is not None else []
        name = f"{kind.__module__}.{kind.__qualname__}" if found else full
        if not self._first_time(kind):
            return name
        if found:
            self._syntax(f"class {name}", found, own)
            for method, member in vars(kind).items():
                if isinstance(member, types.FunctionType) and member.__closure__:
                    # Methods that Python makes (of dataclasses, of named tuples) differ between its versions.
                    made = self._local.path_of(member) is None
                    self._closure(member, f"{name}.{method}", of_package=made)
        else:  # made by a call, such as namedtuple()
            self._syntax(f"class {name}", statements, scope)
        return name

    def _constant(self, value: object, part: str, statements: Sequence[ast.AST], scope: Names) -> None:
        # What is read from environment variables may be secret, and differs between machines: its source counts.
        digest = None if mentions(statements, _ENVIRONMENT) else self._data(value)
        if digest is not None:
            self._put(part, digest)
        elif statements:
            self._syntax(part, statements, scope)
        else:
            self._put(part, digest_of(*_qualified(value)))
        self._inside(value)

    def _data(self, value: object) -> str | None:
        if isinstance(value, str):
            value = value.replace(str(self._rootdir), "<rootdir>")
        try:
            return data.digest(data.encode(value))
        except data.NotDataError:
            return None

    def _inside(self, value: object) -> None:
        """Follow functions and classes that a value holds: a registry, a partial, an instance."""
        waiting, seen = [value], dict[int, Any]()
        while waiting:
            item = waiting.pop()
            if isinstance(item, str | bytes | int | float | complex | None) or id(item) in seen:
                continue
            seen[id(item)] = item
            if isinstance(item, types.FunctionType):
                self._value(item, "", [], {})
            elif isinstance(item, type):
                if self._local.has_module(item.__module__):
                    self._class(item, item.__qualname__, [], {})
            elif isinstance(item, types.ModuleType):
                self._value(item, "", [], {})
            elif isinstance(item, dict):
                waiting += [*reversed(item.values()), *reversed(item.keys())]
            elif isinstance(item, list | tuple):
                waiting += reversed(item)
            elif isinstance(item, set | frozenset):
                waiting += sorted(item, key=_qualified)
            elif isinstance(item, functools.partial):
                waiting += [item.keywords, item.args, item.func]
            elif isinstance(item, types.MethodType):
                waiting += [item.__self__, item.__func__]
            else:
                waiting.append(inspect.getattr_static(item, "__wrapped__", None))
                if self._local.has_module(type(item).__module__):
                    waiting += [getattr(item, "__dict__", None), type(item)]


def _qualified(thing: object) -> tuple[str, str]:
    if isinstance(thing, types.ModuleType):
        return "module", thing.__name__
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return str(getattr(kind, "__module__", "")), str(getattr(kind, "__qualname__", ""))


def _others(node: FunctionSyntax, scope: Names) -> list[ast.expr]:
    return [decorator for decorator in getattr(node, "decorator_list", ()) if not _is_ours(decorator, scope)]


def _is_ours(decorator: ast.expr, scope: Names) -> bool:
    """Whether a decorator is pytest's or ours: what it declares has its own place in a key."""
    head = decorator.func if isinstance(decorator, ast.Call) else decorator
    names: list[str] = []
    while isinstance(head, ast.Attribute):
        names.append(head.attr)
        head = head.value
    found = scope.get(head.id) if isinstance(head, ast.Name) else None
    while isinstance(found, types.ModuleType) and found.__name__.partition(".")[0] not in PYTESTS_AND_OURS and names:
        found = vars(found).get(names.pop())
    if isinstance(found, types.ModuleType):
        return found.__name__.partition(".")[0] in PYTESTS_AND_OURS
    module = getattr(found, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in PYTESTS_AND_OURS
