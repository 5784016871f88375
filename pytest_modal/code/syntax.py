"""A module as syntax: the part of its text that counts, the same for every Python that reads it.

Comments, docstrings and formatting don't count, for they are not in the syntax tree. The tree is written out by
its own few rules: `ast.dump` and `ast.unparse` change between Python's minor versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import io
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FunctionSyntax = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# The position of a name, and what only type checkers read, change nothing in what a program does.
_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


@dataclass(frozen=True)
class ModuleSyntax:
    """The syntax of one file.

    Attributes
    ----------
    lines : list of str
        Its text, with the ends of lines.
    functions : dict
        Functions and lambdas by code name and first line, as code objects know them.
    """

    tree: ast.Module
    lines: list[str]
    functions: dict[tuple[str, int], list[FunctionSyntax]]

    def definitions(self, code: types.CodeType) -> list[FunctionSyntax]:
        """Return the definition that a code object comes from; several lambdas where nothing distinguishes them."""
        found = self.functions.get((code.co_name, code.co_firstlineno), [])
        if len(found) > 1:
            ranges = {position for position in code.co_positions() if None not in position}
            lambdas = [node for node in found if isinstance(node, ast.Lambda)]
            placed = [node for node in lambdas if _range(node.body) in ranges]
            # Python 3.12 does not say where a constant stands that is returned.
            placed = placed or [node for node in lambdas if _is_constant(node.body, code.co_consts)]
            return [*placed] or found
        return found


def _is_constant(body: ast.expr, constants: tuple[object, ...]) -> bool:
    if not isinstance(body, ast.Constant):
        return False
    return any(type(each) is type(body.value) and each == body.value for each in constants)


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
    source = ModuleSyntax(tree, list(io.StringIO(text)), {})
    for node in nodes_of(tree):
        if isinstance(node, FunctionSyntax):
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
            line = min(each.lineno for each in (node, *decorators))
            source.functions.setdefault((name, line), []).append(node)
    return source


def nodes_of(root: ast.AST, parents: dict[int, ast.AST] | None = None) -> list[ast.AST]:
    """Return all nodes of a tree, as `ast.walk` does, without contexts: these are half of them, and say nothing.

    Parameters
    ----------
    parents : dict
        Takes the parent of each node, by the node's id.
    """
    nodes = [root]
    for node in nodes:
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                children = [each for each in value if isinstance(each, ast.AST)]
            elif isinstance(value, ast.AST) and name != "ctx":
                children = [value]
            else:
                continue
            nodes += children
            if parents is not None:
                for each in children:
                    parents[id(each)] = node
    return nodes


def _range(node: ast.expr) -> tuple[object, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def fingerprint(*nodes: ast.AST) -> str:
    """Return a digest of syntax that neither formatting nor Python's minor version changes."""
    return hashlib.blake2b("".join(_tokens(list(nodes))).encode(), digest_size=16).hexdigest()


def _tokens(root: object) -> Iterator[str]:
    # Without recursion: a sum of a thousand terms is a thousand levels deep.
    waiting: list[object] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _Token):
            yield item
        elif isinstance(item, list):
            yield "["
            waiting += [_CLOSING_LIST, *reversed(_effective(item))]
        elif isinstance(item, ast.AST):
            yield f"({type(item).__name__} "
            waiting.append(_CLOSING_NODE)
            for name, value in _fields(item):
                waiting += [value, name]
        else:
            yield f"{type(item).__name__}:{hex(item) if type(item) is int else ascii(item)} "


class _Token(str):
    """Text that is written as it is."""


_CLOSING_LIST, _CLOSING_NODE, _VALUE, _VALUES = map(_Token, ("]", ")", "value=", "values="))


@functools.cache
def _as_written(names: tuple[str, ...]) -> list[tuple[str, _Token]]:
    """Return the fields of a kind of nodes, the last one first, and how they are written."""
    return [(name, _Token(f"{name}=")) for name in sorted(names, reverse=True) if name not in _IGNORED_FIELDS]


def _fields(node: ast.AST) -> list[tuple[_Token, object]]:
    if isinstance(node, ast.Constant | ast.MatchSingleton):
        return [(_VALUE, node.value)]
    if isinstance(node, ast.JoinedStr):
        return [(_VALUES, _joined(node))]
    # What is left out has its default: fields that newer versions of Python added are read as absent.
    return [
        (written, value)
        for name, written in _as_written(node._fields)
        if (value := getattr(node, name, None)) is not None and value != [] and not (type(value) is int and value == 0)
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


def codes_of(tree: ast.Module, flags: int) -> Iterator[types.CodeType]:
    """Yield the code of a file and of all functions in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        waiting = [compile(tree, "<file>", "exec", flags, dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [each for each in code.co_consts if isinstance(each, types.CodeType)]
