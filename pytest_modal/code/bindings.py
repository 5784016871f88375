"""Bindings: what a dotted name in a local module means, followed from module to module."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_modal.code.local_code import PYTESTS_AND_OURS, LocalCode, Names, read
from pytest_modal.code.places import is_local
from pytest_modal.code.syntax import ModuleSyntax
from pytest_modal.code.units import Imported, ModuleUnits, Unit

_DEEPEST = 30  # re-exports of re-exports


class Meaning(NamedTuple):
    """What a name means: something that a local module binds, a local module, or something of a package.

    Attributes
    ----------
    where : str
        The key of the local module, or the name of the package.
    name : str
        What is bound there.
    """

    kind: Literal["name", "module", "outside"]
    where: str
    name: str = ""


class Modules:
    """The local modules, by key: the path of their file relative to the rootdir.

    Parameters
    ----------
    local : LocalCode
        Says what is local.
    """

    def __init__(self, local: LocalCode) -> None:
        self.local = local
        self._scopes: dict[str, Names] = {}
        self._keys: dict[int, tuple[Names, str | None]] = {}  # by id; kept alive, so that an id stays its own
        self._units: dict[str, ModuleUnits] = {}
        self._unimported: dict[str, str | None] = {}

    def note(self, modules: Iterable[types.ModuleType]) -> None:
        """Get to know modules, in the order in which they were imported."""
        for module in modules:
            self.key(vars(module))

    def key(self, scope: Names) -> str | None:
        """Return the key of a module; None if it is not local."""
        if id(scope) not in self._keys:
            key = self._key(scope)
            self._keys[id(scope)] = scope, key
            if key is not None:
                self._scopes.setdefault(key, scope)
        return self._keys[id(scope)][1]

    def _key(self, scope: Names) -> str | None:
        if scope.get("__name__") == "__main__":  # the script that started pytest
            return None
        path = self.local.file(scope)
        if path is not None:
            return self.local.key(path)
        if scope.get("__file__") is None and "__path__" in scope:  # a namespace package has no file of its own
            place = next((each for each in _places(scope["__path__"]) if is_local(each, self.local.rootdir)), None)
            if place is not None and not self.local.travels_elsewhere(str(scope.get("__name__"))):
                return f"{self.local.key(Path(place))}/"
        return None

    def scope(self, key: str) -> Names:
        """Return the names of a module; of one that is not imported only those that every module has."""
        return self._scopes[key]

    def is_imported(self, key: str) -> bool:
        """Whether a module is imported here; of others only the text is known."""
        return _is_imported(self._scopes[key])

    @property
    def keys(self) -> list[str]:
        """The modules known so far, in the order in which they were imported."""
        return list(self._scopes)

    def name(self, key: str) -> str:
        """Return the dotted name of a module."""
        return str(self._scopes[key]["__name__"])

    def syntax(self, key: str) -> ModuleSyntax:
        """Return the syntax of a module's file."""
        return read(self.local.path(key))

    def units(self, key: str) -> ModuleUnits:
        """Return the units of a module."""
        if key not in self._units:
            if is_package_without_file(key):
                self._units[key] = ModuleUnits(ast.Module([], []), lambda decorator: False)
            else:
                tree = self.syntax(key).tree
                self._units[key] = ModuleUnits(tree, lambda decorator: self._is_ours(decorator, key, tree))
        return self._units[key]

    def _is_ours(self, decorator: ast.expr, key: str, tree: ast.Module) -> bool:
        head = decorator
        while isinstance(head, ast.Call | ast.Attribute):
            head = head.func if isinstance(head, ast.Call) else head.value
        scope = self._scopes[key]
        if isinstance(head, ast.Name) and head.id not in scope:
            return _imported_from(tree, head.id).partition(".")[0] in PYTESTS_AND_OURS
        return is_ours(decorator, scope)

    def module(self, full: str) -> str | None:
        """Return the key of a local module by its dotted name; of one that is not imported only the text is known."""
        if full in sys.modules:
            module = sys.modules[full]
            return self.key(vars(module)) if isinstance(module, types.ModuleType) else None
        if full not in self._unimported:
            self._unimported[full] = self._found_on_path(full)
        return self._unimported[full]

    def _found_on_path(self, full: str) -> str | None:
        if not full or self.local.travels_elsewhere(full):
            return None
        for entry in dict.fromkeys(each or "." for each in sys.path):
            base = Path(entry, *full.split("."))
            for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
                if path.is_file():  # the first one is what Python would import
                    package = full if path.name == "__init__.py" else full.rpartition(".")[0]
                    return self.key({"__file__": str(path), "__name__": full, "__package__": package})
        return None

    def full_name(self, key: str, imported: Imported) -> str:
        """Return the dotted name of the module that a statement imports or imports from."""
        if not imported.level:
            return imported.module
        scope = self._scopes[key]
        package = scope.get("__package__") or ""
        if not package:
            package = self.name(key) if is_package(key) else self.name(key).rpartition(".")[0]
        try:
            return importlib.util.resolve_name("." * imported.level + imported.module, package)
        except ImportError:
            return imported.module

    def imported_by(self, key: str, imported: Imported) -> list[str]:
        """Return the keys of the local modules that importing a name may fill: the module, and its submodule."""
        full = self.full_name(key, imported)
        names = [full, f"{full}.{imported.name}"] if imported.name else [full]
        return [found for name in names if (found := self.module(name)) is not None]

    def resolve(self, key: str, chain: Iterable[str], depth: int = 0) -> Meaning | None:
        """Return what ``a.b.c`` in a module means, each hop by its own binding; None for what is bound nowhere."""
        if depth > _DEEPEST:
            return None
        name, *rest = chain
        units = self.units(key).by_name.get(name, [])
        for unit in units:
            for imported in unit.imports:
                if imported.at_import and _binds(imported) == name:
                    return self._follow(key, imported, rest, depth)
        if not units:
            return self._from_star(key, [name, *rest], depth)
        value = self._scopes[key].get(name)
        if isinstance(value, types.ModuleType) and (inner := self.key(vars(value))):
            return self._into(inner, rest, depth)
        return Meaning("name", key, name)

    def _from_star(self, key: str, chain: list[str], depth: int) -> Meaning | None:
        star = self.star(key, chain[0])
        if star is None:
            return None
        _, source = star
        return source if source.kind == "outside" else self.resolve(source.where, chain, depth + 1)

    def star(self, key: str, name: str) -> tuple[Unit, Meaning] | None:
        """Return the star import that gives a name to a module, and the module or package that it is from."""
        scope = self._scopes[key]
        if name not in scope and _is_imported(scope):
            return None
        for star in self.units(key).stars:
            full = self.full_name(key, star.imports[0])
            source = self.module(full)
            if source is None and full in sys.modules and hasattr(sys.modules[full], name):
                return star, Meaning("outside", full.partition(".")[0])
            if source is not None and self.resolve(source, [name]):
                return star, Meaning("module", source)
        return None

    def submodule(self, key: str, name: str) -> str | None:
        """Return the submodule that a name means in a package, unless the package binds it to something else."""
        if not is_package(key):
            return None
        scope = self._scopes[key]
        if name in scope and not isinstance(scope[name], types.ModuleType):
            return None
        return self.module(f"{self.name(key)}.{name}")

    def _follow(self, key: str, imported: Imported, rest: list[str], depth: int) -> Meaning | None:
        full = self.full_name(key, imported)
        if imported.name is None:
            if imported.bound == imported.module:  # `import a.b` binds a
                full = full.partition(".")[0]
            source = self.module(full)
            return self._into(source, rest, depth) if source else Meaning("outside", full.partition(".")[0])
        source = self.module(full)
        if source is None:
            inner = self.module(f"{full}.{imported.name}")
            return self._into(inner, rest, depth) if inner else Meaning("outside", full.partition(".")[0])
        if inner := self.submodule(source, imported.name):
            return self._into(inner, rest, depth)
        found = self.resolve(source, [imported.name, *rest], depth + 1)
        return found or Meaning("name", source, imported.name)

    def _into(self, key: str, rest: list[str], depth: int) -> Meaning | None:
        if not rest:
            return Meaning("module", key)
        if inner := self.submodule(key, rest[0]):
            return self._into(inner, rest[1:], depth + 1)
        return self.resolve(key, rest, depth + 1) or Meaning("name", key, rest[0])

    def is_module(self, key: str, chain: Iterable[str]) -> bool:
        """Whether ``a.b.c`` in a module is a local module."""
        found = self.resolve(key, chain)
        return found is not None and found.kind == "module"


def is_package(key: str) -> bool:
    """Whether the key of a module is that of a package."""
    return key.rpartition("/")[2] in ("__init__.py", "")


def is_package_without_file(key: str) -> bool:
    """Whether the key of a module is that of a namespace package."""
    return key.endswith("/")


def _places(path: Any) -> list[str]:
    """Return the directories of a namespace package; none of what only looks like one, or has lost its parent."""
    try:
        return [each for each in path if isinstance(each, str)]
    except Exception:
        return []


def _is_imported(scope: Names) -> bool:
    return "__builtins__" in scope


def _binds(imported: Imported) -> str:
    return imported.bound.partition(".")[0] if imported.name is None else imported.bound


def _imported_from(tree: ast.Module, name: str) -> str:
    """Return the module from which a name is imported at the top of a file."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) == name:
                    return alias.name if isinstance(node, ast.Import) else node.module or ""
    return ""


def is_ours(decorator: ast.expr, scope: Names) -> bool:
    """Whether a decorator is pytest's or ours: it stays here, and what it declares has its own place in a key."""
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


def found_at(scope: Names, qualname: str) -> Any:
    """Return what is bound at a qualified name in a module, without what pytest put around it."""
    head, *rest = qualname.split(".")
    value = scope.get(head)
    for each in rest:
        value = inspect.getattr_static(value, each, None)
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    return value
