"""Tests that are not collected: pytest takes ``@pytest.mark.modal_gpu(f)`` for a decoration of f and calls f(test)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_modal.code.places import is_local
from pytest_modal.declare.marker import MARKER
from pytest_modal.plan.marks import marks_of
from pytest_modal.wording import shown_path, three_parts


def vanished_tests(module: ModuleType, path: Path, rootdir: Path) -> list[str]:
    """Return a message for each test of a module that its marker keeps from being collected.

    A marked function may be left out by options and other plugins, so only the decoration itself counts, which is
    looked up in the source.
    """
    if not any(_is_marked(obj) for obj in _functions_and_classes(module, rootdir)):
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        three_parts(
            f"{node.name} is not a test: `@{ast.unparse(decorator)}` marks {shown} itself, and then calls it with "
            f"{node.name}",
            f"{shown_path(path, rootdir)}:{decorator.lineno}",
            f"write @{ast.unparse(decorator.func)}(function={shown})",
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and (shown := _marked_alone(decorator, module))
    ]


def _functions_and_classes(module: ModuleType, rootdir: Path) -> Iterator[object]:
    for obj in vars(module).values():
        if not isinstance(obj, ModuleType):
            yield obj
        elif (file := getattr(obj, "__file__", None)) and is_local(file, rootdir):
            yield from vars(obj).values()


def _is_marked(obj: Any) -> bool:
    if not (inspect.isfunction(obj) or inspect.isclass(obj)):
        return False
    return any(mark.name == MARKER for mark in marks_of(obj))


def _marked_alone(decorator: ast.Call, module: ModuleType) -> str | None:
    match decorator:
        case ast.Call(func=ast.Attribute(attr=name), args=[ast.Name() | ast.Attribute() as only], keywords=[]):
            return ast.unparse(only) if name == MARKER else None
        case ast.Call(func=ast.Name(id=name), args=[ast.Name() | ast.Attribute() as only], keywords=[]):
            mark = vars(module).get(name)
            is_ours = isinstance(mark, pytest.MarkDecorator) and mark.name == MARKER
            return ast.unparse(only) if is_ours else None
    return None
