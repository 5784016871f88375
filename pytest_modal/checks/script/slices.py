"""Slices as syntax: where the parts that a planned function needs stand in their files."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from pytest_modal.batch.calls import Part
from pytest_modal.checks.script.script import Body, Script, Travelling
from pytest_modal.checks.script.tree import FunctionNode, methods

_STATEMENTS = ("source", "setting")


def located(parts: Sequence[Part], script_of: Callable[[str], Script | None]) -> Iterator[Travelling]:
    """Yield the parts of a function that are written in a file, each with its syntax.

    Parameters
    ----------
    parts : sequence of Part
        What the function needs.
    script_of : callable
        Reads a file by its path relative to the rootdir; None for one that can't be read.
    """
    for part in parts:
        script = script_of(part.path) if part.path else None
        node = _node_of(part, script) if script is not None else None
        yield Travelling(part, script if node is not None else None, node)


def _node_of(part: Part, script: Script) -> ast.stmt | ast.alias | None:
    named = _import_at(script, part) if part.how in ("package", "left out") else None
    return named or script.heads.get(part.line) or _statement_at(script, part.line)


def bodies_of(travels: Sequence[Travelling]) -> Iterator[Body]:
    """Yield the functions among what travels; those that only annotations name are not called."""
    for each in travels:
        if each.script is not None and each.part.how in _STATEMENTS and not each.part.weak:
            for function in _functions_in(each.node):
                yield Body(function, each.script)


def _functions_in(node: ast.AST | None) -> list[FunctionNode]:
    """Return the functions that a statement defines, those of a condition in it too."""
    if isinstance(node, FunctionNode):
        return [node]
    if isinstance(node, ast.ClassDef):
        return methods(node)
    if not isinstance(node, ast.If | ast.Try | ast.With):
        return []
    inner = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt | ast.ExceptHandler)]
    handlers = [stmt for each in inner if isinstance(each, ast.ExceptHandler) for stmt in each.body]
    return [function for each in (*inner, *handlers) for function in _functions_in(each)]


def _import_at(script: Script, part: Part) -> ast.alias | ast.ImportFrom | None:
    """Return what names a module, as near as its line and its name tell."""
    for node in script.all(ast.ImportFrom):
        if node.lineno == part.line and part.name.startswith(node.module or ""):
            return node
    for plain in script.all(ast.Import):
        for alias in plain.names:
            if plain.lineno == part.line and alias.name == part.name:
                return alias
    return None


def _statement_at(script: Script, line: int) -> ast.stmt | None:
    """Return the top-level statement around a line."""
    return next((each for each in script.source.tree.body if each.lineno <= line <= (each.end_lineno or line)), None)
