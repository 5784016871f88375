"""Effects: what running a top-level statement changes beside what it binds.

A registry that a decorator fills, an attribute that is set on another module, a setting of a package, an environment
variable. What changes a thing that a function needs comes along with it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pytest_modal.code.annotations import parameters
from pytest_modal.code.bindings import Meaning, Modules, is_package_without_file
from pytest_modal.code.units import Unit, bound_in, words

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Methods that change what they are called on, wherever in an expression the call stands.
_CHANGING = words(
    """
    append add update setdefault extend insert register pop clear remove __setitem__ register_buffer
    register_module add_module install subscribe connect
    """
)
_RUN_BY_A_CALL = ("__init__", "__call__", "__new__")
_OF_THIS_MACHINE = (["sys", "path"], ["sys", "modules"])  # changes of these say where code is found here
_CONFTEST = "conftest.py"


class Target(NamedTuple):
    """What a statement changes: a name of a local module, a package, the environment, the subclasses of a class."""

    kind: Literal["name", "module", "outside", "environment", "subclasses"]
    where: str = ""
    name: str = ""


Changes = Mapping[Target, list[tuple[str, Unit]]]
_ENVIRONMENT = Target("environment")


class Effects:
    """Finds the statements that change things, in the modules that matter to a function.

    Parameters
    ----------
    modules : Modules
        The local modules.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._near: dict[tuple[str, bool], Changes] = {}
        self._of_unit: dict[Unit, frozenset[Target]] = {}
        self._of_calling: dict[Meaning, set[Target]] = {}

    def near(self, key: str, *, alone: bool = False) -> Changes:
        """Return what the modules change that a module imports, directly or not, and the conftests above it.

        No other test file counts: otherwise which tests were selected would change what a function is.

        Parameters
        ----------
        alone : bool
            Whether conftests don't count: the module is one that a function imports when it runs.
        """
        if not key:
            return {}
        if (key, alone) not in self._near:
            changes: dict[Target, list[tuple[str, Unit]]] = {}
            for each in self._imported_by(key, alone=alone):
                for unit in self._modules.units(each).units:
                    for target in self.of(each, unit):
                        changes.setdefault(target, []).append((each, unit))
            self._near[key, alone] = changes
        return self._near[key, alone]

    def _imported_by(self, key: str, *, alone: bool) -> list[str]:
        found: dict[str, None] = {}
        above = [] if alone else [(parent / _CONFTEST).as_posix() for parent in Path(key).parents]
        waiting = [key, *(each for each in above if each in self._modules.keys)]
        while waiting:
            each = waiting.pop()
            if each in found or is_package_without_file(each):
                continue
            found[each] = None
            for unit in self._modules.units(each).units:
                for imported in unit.imports:
                    full = self._modules.full_name(each, imported)
                    if not imported.at_import or (imported.guarded and full not in sys.modules):
                        continue
                    waiting += self._modules.imported_by(each, imported)
        return list(found)

    def of(self, key: str, unit: Unit) -> frozenset[Target]:
        """Return what a statement changes beside what it binds."""
        if unit not in self._of_unit:
            self._of_unit[unit] = frozenset()
            plain = isinstance(unit.node, _FUNCTIONS) and not unit.node.decorator_list
            if not plain and not unit.is_import:
                own = {Target("name", key, name) for name in unit.binds}
                self._of_unit[unit] = frozenset(set(self._changed(key, [unit.node], set())) - own)
        return self._of_unit[unit]

    def _changed(self, key: str, nodes: Iterable[ast.AST], hidden: set[str]) -> Iterator[Target]:
        """Yield what running code changes.

        Parameters
        ----------
        hidden : set of str
            Names that are the code's own, and not its module's.
        """
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Lambda):
                continue
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                yield from self._by_decorators(key, node, hidden)
                waiting += node.decorator_list
                if isinstance(node, ast.ClassDef):
                    yield from self._by_bases(key, node, hidden)
                    waiting += node.body
                continue
            if isinstance(node, ast.Assign | ast.Delete):
                yield from (each for target in node.targets for each in self._assigned(key, target, hidden))
            elif isinstance(node, ast.AugAssign | ast.AnnAssign):
                yield from self._assigned(key, node.target, hidden)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield from self._called(key, node.value, hidden)
            elif isinstance(node, ast.Call) and (chain := _chain(node.func, hidden)):
                if len(chain) > 1 and chain[-1] in _CHANGING:
                    yield from self._local(key, chain[:-1])
                yield from self._by_calling(self._modules.resolve(key, chain))
            waiting += ast.iter_child_nodes(node)

    def _by_decorators(
        self, key: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, hidden: set[str]
    ) -> Iterator[Target]:
        for decorator in node.decorator_list:
            function = decorator.func if isinstance(decorator, ast.Call) else decorator
            chain = _chain(function, hidden)
            found = self._modules.resolve(key, chain) if chain else None
            if found is None:
                continue
            if found.kind == "name":
                yield from self._by_calling(found)
                if isinstance(function, ast.Attribute):  # a method of a registry
                    yield from self._targets(key, chain[:-1] or chain)
            elif found.kind == "outside" and "register" in chain[-1]:
                yield Target(*found)

    def _by_bases(self, key: str, node: ast.ClassDef, hidden: set[str]) -> Iterator[Target]:
        for base in node.bases:
            for each in self._local(key, _chain(base, hidden)):
                yield Target("subclasses", each.where, each.name)

    def _assigned(self, key: str, target: ast.expr, hidden: set[str]) -> Iterator[Target]:
        if isinstance(target, ast.Subscript):
            yield from self._targets(key, _chain(target, hidden))
        elif isinstance(target, ast.Attribute):
            yield from self._targets(key, self._owner(key, _chain(target, hidden), shortest=2))

    def _called(self, key: str, call: ast.Call, hidden: set[str]) -> Iterator[Target]:
        """Yield what a call changes whose result nobody takes."""
        chain = _chain(call.func, hidden)
        match call:
            case ast.Call(func=ast.Name(id="setattr"), args=[owner, ast.Constant(value=str(name)), *_]):
                if (module := self._module(key, owner, hidden)) is not None:
                    yield Target("name", module, name)
        if not chain or chain == ["print"]:
            return
        yield from self._targets(key, self._owner(key, chain, shortest=1))
        for argument in (*call.args, *(each.value for each in call.keywords)):
            if isinstance(argument, ast.Name):
                yield from self._local(key, _chain(argument, hidden))

    def _module(self, key: str, node: ast.expr, hidden: set[str]) -> str | None:
        """Return the key of the local module that an expression is."""
        if ast.unparse(node) == "sys.modules[__name__]":
            return key
        chain = _chain(node, hidden)
        found = self._modules.resolve(key, chain) if chain else None
        return found.where if found is not None and found.kind == "module" else None

    def _owner(self, key: str, chain: list[str], shortest: int) -> list[str]:
        """Return what a method or an attribute is of; a name in a module stays as it is."""
        if len(chain) > shortest and not self._modules.is_module(key, chain[:-1]):
            return chain[:-1]
        return chain

    def _targets(self, key: str, chain: list[str]) -> Iterator[Target]:
        if not chain:
            return
        if chain[:2] == ["os", "environ"] or chain[0] == "environ":
            yield _ENVIRONMENT
        elif chain[:2] not in _OF_THIS_MACHINE and (found := self._modules.resolve(key, chain)) is not None:
            yield Target(*found)
            yield from self._aliased(found, set())

    def _aliased(self, found: Meaning, seen: set[Meaning]) -> Iterator[Target]:
        """Yield what a name is another name of: ``B = A``."""
        if found.kind != "name" or found in seen:
            return
        seen.add(found)
        for unit in self._modules.units(found.where).by_name.get(found.name, ()):
            for name in _other_names(unit.node, found.name):
                other = self._modules.resolve(found.where, [name])
                if other is not None:
                    yield Target(*other)
                    yield from self._aliased(other, seen)

    def _local(self, key: str, chain: list[str]) -> Iterator[Target]:
        return (target for target in self._targets(key, chain) if target.kind == "name")

    def _by_calling(self, found: Meaning | None) -> Iterable[Target]:
        """Return what calling a local function or class changes outside itself."""
        if found is None or found.kind != "name":
            return ()
        if found not in self._of_calling:
            changed = self._of_calling[found] = set()  # for functions that lead back here before it is known
            for unit in self._modules.units(found.where).by_name.get(found.name, []):
                for body in _bodies(unit.node):
                    outer = {name for each in ast.walk(body) if isinstance(each, ast.Global) for name in each.names}
                    own = {each.arg for each in parameters(body)} | bound_in(body.body)
                    changed |= {Target("name", found.where, name) for name in outer}
                    changed |= set(self._changed(found.where, body.body, own - outer))
        return self._of_calling[found]


def _other_names(node: ast.stmt, name: str) -> list[str]:
    """Return the names that a statement gives another name to: ``B = A``, ``for each in (A, B)``."""
    match node:
        case ast.Assign(value=ast.Name(id=other)) | ast.AnnAssign(value=ast.Name(id=other)):
            return [other]
        case ast.For(target=ast.Name(id=target), iter=ast.Tuple(elts=items) | ast.List(elts=items)) if target == name:
            return [each.id for each in items if isinstance(each, ast.Name)]
    return []


def _bodies(node: ast.stmt) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions that calling a function or a class may run."""
    for each in ast.walk(node):
        if isinstance(each, _FUNCTIONS) and (isinstance(node, _FUNCTIONS) or each.name in _RUN_BY_A_CALL):
            yield each


def _chain(node: ast.AST, hidden: set[str]) -> list[str]:
    """Return ``a.b.c`` of an expression as names, subscripts and calls left out; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) and node.id not in hidden else []
