"""Annotations of a statement: those that a program may run on, and those that it only carries."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# These do not look at the annotations of what they decorate; others may: validate_call, triton.jit, a registry.
_BLIND_DECORATORS = re.compile(r"(abc\.|contextlib\.|typing\.)?\w+$")
_BLIND_NAMES = {"staticmethod", "classmethod", "property", "abstractmethod", "override", "contextmanager"}


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.arg]:
    """Return all parameters of a function."""
    own = function.args
    return [each for each in (*own.posonlyargs, *own.args, *own.kwonlyargs, own.vararg, own.kwarg) if each is not None]


def annotations_of(root: ast.stmt, nodes: Iterable[ast.AST]) -> tuple[list[ast.expr], list[ast.expr]]:
    """Return the annotations that a program may run on (fields of classes, decorated functions), and all others."""
    strong: list[ast.expr] = []
    weak: list[ast.expr] = []
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            strong += [each.annotation for each in node.body if isinstance(each, ast.AnnAssign)]
        elif isinstance(node, _FUNCTIONS):
            found = [each.annotation for each in parameters(node) if each.annotation is not None]
            found += [node.returns] if node.returns is not None else []
            (weak if all(map(_is_blind, node.decorator_list)) else strong).extend(found)
    if isinstance(root, ast.AnnAssign):
        weak.append(root.annotation)
    return strong, weak


def _is_blind(decorator: ast.expr) -> bool:
    text = ast.unparse(decorator)
    return _BLIND_DECORATORS.match(text) is not None and text.rpartition(".")[2] in _BLIND_NAMES


def names_in_hint(annotation: ast.expr) -> Iterator[str]:
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                yield from names_in_hint(ast.parse(node.value, mode="eval").body)
            except SyntaxError:
                continue
