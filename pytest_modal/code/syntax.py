"""A module as syntax: the part of its text that counts, the same for every Python that reads it.

Comments, docstrings and formatting don't count, for they are not in the syntax tree. The tree is written out by
its own few rules: `ast.dump` and `ast.unparse` change between Python's minor versions.
"""

from __future__ import annotations
import __future__

import ast
import copy
import dis
import functools
import hashlib
import importlib.util
import types
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FunctionSyntax = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# The position of a name, and what only type checkers read, change nothing in what a program does.
_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}
_ANNOTATIONS_AS_TEXT = __future__.annotations.compiler_flag
_LOADS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"}


@dataclass(frozen=True)
class ModuleSyntax:
    """The syntax of one file.

    Attributes
    ----------
    functions : dict
        Functions and lambdas by code name and first line, as code objects know them.
    classes : dict
        Definitions of classes by qualified name.
    bindings : dict
        The statements outside functions and classes that bind a name; imports reduced to that name.
    """

    tree: ast.Module
    functions: dict[tuple[str, int], list[FunctionSyntax]]
    classes: dict[str, list[ast.ClassDef]]
    bindings: dict[str, list[ast.stmt]]

    def definitions(self, code: types.CodeType) -> list[FunctionSyntax]:
        """Return the definition that a code object comes from; several lambdas where nothing distinguishes them."""
        found = self.functions.get((code.co_name, code.co_firstlineno), [])
        if len(found) > 1:
            ranges = {position for position in code.co_positions() if None not in position}
            return [node for node in found if isinstance(node, ast.Lambda) and _range(node.body) in ranges] or found
        return found


def read_syntax(path: Path) -> ModuleSyntax:
    """Parse a Python file; parsed again only when it changed.

    Raises
    ------
    OSError, SyntaxError, UnicodeDecodeError
        The file can't be read, or is not Python.
    """
    state = path.stat()
    return _read_syntax(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=256)
def _read_syntax(path: Path, _changed: int, _size: int) -> ModuleSyntax:
    text = importlib.util.decode_source(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in strings are reported where the file is imported
        tree = ast.parse(text)
    source = ModuleSyntax(tree, {}, {}, {})
    _index(source, tree, "")
    for name, statement in _bindings(tree):
        source.bindings.setdefault(name, []).append(statement)
    return source


def _index(source: ModuleSyntax, tree: ast.AST, inside: str) -> None:
    waiting = [(tree, inside)]
    while waiting:
        parent, prefix = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            inner = prefix
            if isinstance(node, FunctionSyntax):
                name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
                line = min(each.lineno for each in (node, *decorators))
                source.functions.setdefault((name, line), []).append(node)
                inner = f"{prefix}{name}.<locals>."
            elif isinstance(node, ast.ClassDef):
                source.classes.setdefault(prefix + node.name, []).append(node)
                inner = f"{prefix}{node.name}."
            waiting.append((node, inner))


def _bindings(parent: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                alone = copy.copy(node)
                alone.names = [alias]
                yield alias.asname or alias.name.partition(".")[0], alone
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _bindings(node)
        elif isinstance(parent, ast.stmt):
            for name in ast.walk(node):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                    yield name.id, parent


def _range(node: ast.expr) -> tuple[object, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def fingerprint(*nodes: ast.AST) -> str:
    """Return a digest of syntax that neither formatting nor Python's minor version changes."""
    hashed = hashlib.blake2b(digest_size=16)
    for token in _tokens(list(nodes)):
        hashed.update(token.encode())
    return hashed.hexdigest()


def _tokens(root: object) -> Iterator[str]:
    # Without recursion: a sum of a thousand terms is a thousand levels deep.
    waiting: list[object] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Token):
            yield item
        elif isinstance(item, list):
            yield "["
            waiting += [_Token("]"), *reversed(_effective(item))]
        elif isinstance(item, ast.AST):
            yield f"({type(item).__name__} "
            waiting.append(_Token(")"))
            for name, value in sorted(_fields(item), reverse=True):
                waiting += [value, _Token(f"{name}=")]
        else:
            yield f"{type(item).__name__}:{hex(item) if type(item) is int else ascii(item)} "


class _Token(str):
    """Text that is written as it is."""


def _fields(node: ast.AST) -> list[tuple[str, object]]:
    if isinstance(node, ast.Constant | ast.MatchSingleton):
        return [("value", node.value)]
    if isinstance(node, ast.JoinedStr):
        return [("values", _joined(node))]
    # What is left out has its default: fields that newer versions of Python added are read as absent.
    return [
        (name, value)
        for name in node._fields
        if name not in _IGNORED_FIELDS
        and (value := getattr(node, name, None)) is not None
        and value != []
        and not (type(value) is int and value == 0)
    ]


def _effective(items: list[object]) -> list[object]:
    # Docstrings are among the statements that do nothing.
    return [
        item
        for item in items
        if not (isinstance(item, ast.Pass) or (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)))
    ]


def _joined(node: ast.JoinedStr) -> list[ast.expr]:
    # Versions differ in how they cut the constant text between two fields, and in empty format specifications.
    joined: list[ast.expr] = []
    for value in node.values:
        if isinstance(value, ast.Constant) and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + str(value.value))
        elif isinstance(value, ast.FormattedValue) and _is_empty(value.format_spec):
            joined.append(ast.FormattedValue(value.value, value.conversion, None))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            joined.append(value)
    return joined


def _is_empty(specification: ast.expr | None) -> bool:
    return isinstance(specification, ast.JoinedStr) and not _joined(specification)


def bare(function: FunctionSyntax, decorators: Sequence[ast.expr]) -> FunctionSyntax:
    """Return a function without the defaults of its arguments, and with these decorators only."""
    stripped = copy.copy(function)
    stripped.args = copy.copy(function.args)
    stripped.args.defaults = []
    stripped.args.kw_defaults = [None] * len(function.args.kwonlyargs)
    if not isinstance(stripped, ast.Lambda):
        stripped.decorator_list = list(decorators)
    return stripped


def defaults(function: FunctionSyntax) -> tuple[dict[str, ast.expr], dict[str, ast.expr]]:
    """Return the defaults of the arguments that have one: positional ones, and those by keyword only."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    return (
        {argument.arg: default for argument, default in zip(with_default, arguments.defaults, strict=True)},
        {
            argument.arg: default
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        },
    )


def names_in(*nodes: ast.AST) -> list[str]:
    """Return the names that syntax takes from outside itself, sorted: globals, closures and builtins.

    What annotates functions is not followed, for it is not run; the fields of a class are.
    """
    fields = {name.id for node in nodes for name in _field_types(node)}
    body = [node if isinstance(node, ast.stmt) else _as_statement(node) for node in nodes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(ast.Module(body, []), "<reach>", "exec", _ANNOTATIONS_AS_TEXT, dont_inherit=True, optimize=0)
        except SyntaxError:  # a part of a closure (`nonlocal`) does not compile alone: all its names count
            return sorted({name.id for node in nodes for name in ast.walk(node) if isinstance(name, ast.Name)})
    return sorted(fields.union(_loaded(code)))


def _field_types(node: ast.AST) -> Iterator[ast.Name]:
    for statement in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(statement, ast.AnnAssign):
            yield from (name for name in ast.walk(statement.annotation) if isinstance(name, ast.Name))


def _as_statement(node: ast.AST) -> ast.stmt:
    assert isinstance(node, ast.expr)
    return ast.copy_location(ast.Expr(node), node)


def _loaded(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        # Every class body notes the name of its module.
        if instruction.opname in _LOADS and (instruction.opname, instruction.argval) != ("LOAD_NAME", "__name__"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _loaded(constant)


def mentions(nodes: Iterable[ast.AST], names: set[str]) -> bool:
    """Whether one of the names occurs anywhere in the syntax, as a name or an attribute."""
    return any(
        (isinstance(node, ast.Name) and node.id in names) or (isinstance(node, ast.Attribute) and node.attr in names)
        for root in nodes
        for node in ast.walk(root)
    )
