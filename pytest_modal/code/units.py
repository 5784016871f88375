"""Units: the top-level statements of a module, with what each binds, uses and imports.

A unit is what travels or does not. Each name of an import is a unit of its own.
"""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from pytest_modal.code.annotations import annotations_of, names_in_hint
from pytest_modal.code.local_code import PYTESTS_AND_OURS
from pytest_modal.code.syntax import fingerprint, nodes_of
from pytest_modal.remote.statements import WHOLE, Part, begin, reduced, skipped_import, without_decorators

Chain = tuple[str, ...]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_ANNOTATIONS_AS_TEXT = __future__.annotations.compiler_flag
_GLOBAL_LOADS = {"LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"}
# In code of modules and functions, with what stands beside the number of the name.
_LOADS_BY_NUMBER = {
    dis.opmap[name]: bits
    for name, bits in (("LOAD_GLOBAL", 1), ("LOAD_NAME", 0), ("LOAD_FROM_DICT_OR_GLOBALS", 0))
    if name in dis.opmap
}
_CATCHES_IMPORT_ERROR = re.compile("ImportError|ModuleNotFound|Exception")
_LONGEST_STRING = 200


def words(text: str) -> set[str]:
    """Return the words of a text: how long sets of names are written here."""
    return set(text.split())


class Imported(NamedTuple):
    """A name that a statement imports.

    Attributes
    ----------
    name : str or None
        What is imported from the module; None for ``import module``.
    guarded : bool
        Whether the program goes on without it: under ``try``, ``if``, ``suppress``.
    at_import : bool
        Whether it runs when the module is imported, and not in the body of a function.
    line : int
        Where it is written.
    """

    module: str
    level: int
    name: str | None
    bound: str
    guarded: bool
    at_import: bool
    line: int


@dataclass(eq=False)
class Unit:
    """A top-level statement, or one name of an import.

    Attributes
    ----------
    place : tuple
        Line, column, and which part of the statement.
    end : int
        Its last line.
    binds : set of str
        The names that it gives to its module.
    uses, hints : set of str
        The names of its module that running it, or its functions, needs; those that only annotations name.
    chains : dict
        For each name the chains of attributes behind it; ``()`` where it stands alone.
    words, strings : set of str
        All names, attributes and short strings in it.
    called : set of str
        What it calls, as ``a.b.c``.
    """

    place: tuple[int, int, Part]
    end: int
    node: ast.stmt
    binds: set[str]
    uses: set[str] = field(default_factory=set)
    hints: set[str] = field(default_factory=set)
    chains: dict[str, set[Chain]] = field(default_factory=dict)
    imports: list[Imported] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)

    @property
    def is_import(self) -> bool:
        """Whether it is an import statement."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)

    @property
    def is_definition(self) -> bool:
        """Whether it defines a function or a class."""
        return isinstance(self.node, _DEFINITIONS)

    @cached_property
    def digest(self) -> str:
        """Digest of its syntax: neither formatting nor Python's minor version changes it."""
        return fingerprint(self.node)

    @property
    def line(self) -> int:
        """Its first line."""
        return self.place[0]


class ModuleUnits:
    """The units of one module.

    Attributes
    ----------
    units : list of Unit
        In the order of the file.
    by_name : dict
        The units that bind a name.
    stars : list of Unit
        The star imports.
    guards : list of Unit
        Statements that bind nothing and may raise: what a module says of where it can be imported.
    flags : int
        Compiler flags of its ``__future__`` imports.
    reassigned : set of str
        Names that functions assign to: ``global name``.
    dropped : dict
        By the first line of a unit the lines of decorators in it that stay on the user's machine.

    Parameters
    ----------
    tree : ast.Module
        The syntax of the file.
    is_ours : callable
        Whether a decorator is pytest's or this plugin's: it stays here.
    """

    def __init__(self, tree: ast.Module, is_ours: Callable[[ast.expr], bool]) -> None:
        self.units: list[Unit] = []
        self.by_name: dict[str, list[Unit]] = {}
        self.dropped: dict[int, list[int]] = {}
        self.flags = 0
        for number, node in enumerate(tree.body):
            if is_docstring(node) and number:
                continue
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.flags |= sum(_flag(alias.name) for alias in node.names)
            elif not _is_main_guard(node):
                self._add(node, is_ours)
        for unit in self.units:
            for name in unit.binds:
                self.by_name.setdefault(name, []).append(unit)
        self.guards = [unit for unit in self.units if _may_raise(unit)]
        self.stars = [unit for unit in self.units if unit.is_import and unit.imports[0].name == "*"]
        self.reassigned = {name for node in nodes_of(tree) if isinstance(node, ast.Global) for name in node.names}

    def _add(self, node: ast.stmt, is_ours: Callable[[ast.expr], bool]) -> None:
        node, lines = _as_it_travels(node, is_ours)
        line = begin(node)
        if dropped := [each for each in lines if each >= line]:
            self.dropped[line] = dropped
        if isinstance(node, ast.Import | ast.ImportFrom):
            for number in range(len(node.names)):
                self.units.append(unit_of(reduced(node, number), (line, node.col_offset, number)))
        else:
            self.units.append(unit_of(node, (line, node.col_offset, WHOLE)))


def _flag(feature: str) -> int:
    """Return the compiler flag of a ``__future__`` import; none for what this Python does anyway."""
    known: __future__._Feature = getattr(__future__, feature)
    mandatory = known.getMandatoryRelease()
    return 0 if mandatory is not None and mandatory <= sys.version_info else known.compiler_flag


def _may_raise(unit: Unit) -> bool:
    if unit.binds or unit.is_definition or not unit.words.isdisjoint(PYTESTS_AND_OURS):
        return False
    waiting: list[ast.AST] = [unit.node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise | ast.Assert):
            return True
        if not isinstance(node, (*_DEFINITIONS, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return False


def _is_main_guard(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or node.orelse:
        return False
    test = ast.unparse(node.test)
    return "__main__" in test and "__name__" in test


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"


def _as_it_travels(node: ast.stmt, is_ours: Callable[[ast.expr], bool]) -> tuple[ast.stmt, list[int]]:
    """Return a statement without the decorators of pytest and of this plugin, and the lines of these."""
    lines = [decorator.lineno for each in _definitions(node) for decorator in each.decorator_list if is_ours(decorator)]
    return skipped_import(without_decorators(node, lines)), lines


def _definitions(node: ast.stmt) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield the definition that a statement is, and those in the body of a class."""
    if isinstance(node, _DEFINITIONS):
        yield node
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            yield from _definitions(each)


def unit_of(node: ast.stmt, place: tuple[int, int, Part]) -> Unit:
    """Read one statement."""
    parents: dict[int, ast.AST] = {}
    nodes = nodes_of(node, parents)
    strong, weak = annotations_of(node, nodes)
    uses = _names_loaded(node) | {name for each in strong for name in names_in_hint(each)}
    hints = {name for each in weak for name in names_in_hint(each)} - uses
    unit = Unit(place, node.end_lineno or node.lineno, node, set(_bound_by(node)), uses, hints)
    if any(isinstance(each, ast.Import | ast.ImportFrom) for each in nodes):
        unit.imports += imports_of(node)
    for each in nodes:
        if isinstance(each, ast.Name):
            unit.chains.setdefault(each.id, set()).add(_attributes_behind(each, parents))
            unit.words.add(each.id)
        elif isinstance(each, ast.Attribute):
            unit.words.add(each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and len(each.value) < _LONGEST_STRING:
            unit.strings.add(each.value)
        elif isinstance(each, ast.Call):
            unit.called.add(dotted(each.func))
    return unit


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of an expression; of anything else only the attributes."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(names)])


def _attributes_behind(name: ast.Name, parents: dict[int, ast.AST]) -> Chain:
    chain, parent = [], parents.get(id(name))
    while isinstance(parent, ast.Attribute):
        chain.append(parent.attr)
        parent = parents.get(id(parent))
    return tuple(chain)


def _names_loaded(node: ast.stmt) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(
                ast.Module([node], []), "<unit>", "exec", _ANNOTATIONS_AS_TEXT, dont_inherit=True, optimize=0
            )
        except (SyntaxError, ValueError):  # part of a closure (`nonlocal`): all its names count
            return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return set(_loads(code, nested=False))


def _loads(code: types.CodeType, *, nested: bool) -> Iterator[str]:
    """Yield the names that code takes from its module: not what a class body has bound itself before."""
    yield from _loads_of_class(code) if nested and not code.co_flags & inspect.CO_OPTIMIZED else _loads_by_number(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _loads(constant, nested=True)


def _loads_by_number(code: types.CodeType) -> Iterator[str]:
    """Yield what `dis` would say, which takes ten times as long."""
    argument = 0
    for opcode, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = argument << 8 | low
        if opcode in _LOADS_BY_NUMBER:
            yield code.co_names[argument >> _LOADS_BY_NUMBER[opcode]]
        if opcode != dis.EXTENDED_ARG:
            argument = 0


def _loads_of_class(code: types.CodeType) -> Iterator[str]:
    own: set[str] = set()
    for each in dis.get_instructions(code):
        if each.opname == "STORE_NAME":
            own.add(each.argval)
        elif each.opname == "LOAD_GLOBAL" or (each.opname in _GLOBAL_LOADS and each.argval not in own):
            yield each.argval


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds in its module; the body of ``if TYPE_CHECKING`` binds nothing."""
    if is_docstring(node):
        yield "__doc__"
    elif isinstance(node, _DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.id
    elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    if isinstance(node, (*_DEFINITIONS, ast.Lambda, ast.Import, ast.ImportFrom)):
        return
    for name, value in ast.iter_fields(node):
        if (isinstance(node, ast.comprehension) and name == "target") or (_is_typing_only(node) and name == "body"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _bound_by(child)


def is_docstring(node: ast.AST) -> bool:
    """Whether a statement is a text alone."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
    return False


def bound_in(statements: Iterable[ast.stmt]) -> set[str]:
    """Return the names that statements bind."""
    return {name for statement in statements for name in _bound_by(statement)}


def imports_of(node: ast.AST, *, guarded: bool = False, at_import: bool = True) -> Iterator[Imported]:
    """Yield what is imported anywhere in a statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Imported(alias.name, 0, None, alias.asname or alias.name, guarded, at_import, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Imported(
                node.module or "", node.level, alias.name, alias.asname or alias.name, guarded, at_import, node.lineno
            )
    inner = guarded or _goes_on_without(node)
    runs = at_import and not isinstance(node, _FUNCTIONS)
    for name, value in ast.iter_fields(node):
        if _is_typing_only(node) and name == "body":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from imports_of(child, guarded=inner, at_import=runs)


def _goes_on_without(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        return any(each.type is None or _CATCHES_IMPORT_ERROR.search(ast.unparse(each.type)) for each in node.handlers)
    if isinstance(node, ast.With):
        return "suppress" in ast.unparse(node.items[0].context_expr)
    return isinstance(node, ast.If)
