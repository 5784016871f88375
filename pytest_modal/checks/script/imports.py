"""Imports of GPU code: which, where, and whether it can do without."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_modal.checks.script.script import GpuFunction, Planned
from pytest_modal.checks.script.tree import Tree, import_branch, is_guard, is_main_only

_MISSING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True)
class Imported:
    """One imported module.

    Attributes
    ----------
    node : alias or ImportFrom
        What names it; another statement where none does.
    module : str
        The dotted name; relative ones start with a dot.
    at_top : bool
        Whether the script imports it at its top level.
    image : str or None
        The image in whose ``with image.imports():`` block it is.
    """

    node: ast.alias | ast.stmt
    module: str
    tree: Tree
    at_top: bool
    image: str | None = None
    names: tuple[str, ...] = ()

    @property
    def top(self) -> str:
        """The top-level module."""
        return self.module.partition(".")[0]


def in_bodies(function: GpuFunction) -> list[Imported]:
    """Return what the function and its helpers import, less what they can do without."""
    return [
        imported
        for node, scope in function.nodes()
        if isinstance(node, ast.Import | ast.ImportFrom) and not _is_optional(node, scope.tree)
        for imported in _of(node, scope.tree, at_top=False)
    ]


def through_globals(function: GpuFunction) -> list[Imported]:
    """Return the imports at the top of the file whose names the function uses: what travels by value needs them."""
    found: dict[ast.AST, Imported] = {}
    for body in function.bodies:
        module = body.script.module
        top = {name: each for each in at_top(body.script) for name in _bound(each)}
        for node, scope in body.script.walk(body.node):
            if isinstance(node, ast.Name) and node.id in top and scope.find(node.id) is module:
                found[top[node.id].node] = top[node.id]
    return list(found.values())


def at_top(tree: Tree) -> list[Imported]:
    """Return what the file imports when it is imported itself, less what it can do without."""
    return [
        imported
        for node in _statements(tree)
        if not _is_inside_function(node, tree) and not _is_optional(node, tree)
        for imported in _of(node, tree, at_top=True)
    ]


def _statements(tree: Tree) -> list[ast.Import | ast.ImportFrom]:
    return sorted([*tree.all(ast.Import), *tree.all(ast.ImportFrom)], key=lambda node: node.lineno)


def needed_in_container(function: GpuFunction) -> list[Imported]:
    """Return the imports that run in the container before or while the function does."""
    if function.planned is not None:
        return _planned_imports(function, function.planned)
    if function.by_value:
        return in_bodies(function) + through_globals(function)
    given = function.settings.get("image")
    own = given.id if isinstance(given, ast.Name) else None
    # An `imports()` block runs only in containers of its image.
    return in_bodies(function) + [each for each in at_top(function.script) if each.image is None or each.image == own]


def _planned_imports(function: GpuFunction, planned: Planned) -> list[Imported]:
    """Return the imports of packages that a planned function needs; those of no place are the function's own."""
    found = []
    for part, script, node in ((each.part, each.script, each.node) for each in planned.travels):
        if part.how == "package" and script is not None and node is not None:
            if not _is_optional(node, script):
                found.append(Imported(node, part.name, script, at_top=False))
        elif part.how == "package":
            found.append(Imported(function.node, part.name, function.script, at_top=False))
    return found


def modules_seen(function: GpuFunction) -> set[str]:
    """Return the top-level modules that the function can use, optional ones too."""
    if function.planned is not None:
        packages = (each.part for each in function.planned.travels if each.part.how in ("package", "left out"))
        return {part.name.partition(".")[0] for part in packages}
    found = {
        imported.top
        for node, scope in function.nodes()
        if isinstance(node, ast.Import | ast.ImportFrom)
        for imported in _of(node, scope.tree, at_top=False)
    }
    found |= {
        imported.top
        for node in _statements(function.script)
        if not _is_inside_function(node, function.script) and not is_main_only(node, function.script)
        for imported in _of(node, function.script, at_top=True)
    }
    return found


def has_unknown_names(function: GpuFunction) -> bool:
    """Whether the function uses names that nothing in its file explains: it may use code that isn't seen."""
    import builtins

    for node, scope in function.nodes():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            where = scope.find(node.id)
            if where is None and not hasattr(builtins, node.id):
                return True
    return any("*" in scope.imports for scope in (function.script.module,))


def uses_module(function: GpuFunction, prefixes: tuple[str, ...]) -> bool:
    """Whether the function calls something whose dotted name starts with one of the prefixes."""
    return any(
        isinstance(node, ast.Call) and (scope.dotted(node.func) or "").startswith(prefixes)
        for node, scope in function.nodes()
    )


def _of(node: ast.Import | ast.ImportFrom, tree: Tree, *, at_top: bool) -> Iterator[Imported]:
    image = _image_block(node, tree) if at_top else None
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield Imported(node, module, tree, at_top, image, tuple(each.name for each in node.names))
        return
    for alias in node.names:
        yield Imported(alias, alias.name, tree, at_top, image)


def _bound(imported: Imported) -> list[str]:
    if isinstance(imported.node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in imported.node.names]
    return [getattr(imported.node, "asname", None) or imported.top]


def _is_optional(node: ast.AST, tree: Tree) -> bool:
    child, parent = node, tree.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Try) and child in parent.body and any(map(_catches_missing, parent.handlers)):
            return True
        if isinstance(parent, ast.ExceptHandler):
            return True
        if isinstance(parent, ast.If) and is_guard(parent) and child not in import_branch(parent):
            return True
        if isinstance(parent, ast.With) and any(_suppresses(item) for item in parent.items):
            return True
        child, parent = parent, tree.parents.get(parent)
    return False


def _catches_missing(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    return any(isinstance(part, ast.Name) and part.id in _MISSING for part in ast.walk(handler.type))


def _suppresses(item: ast.withitem) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr == "suppress")
        or (isinstance(part, ast.Name) and part.id == "suppress")
        for part in ast.walk(item.context_expr)
    )


def _image_block(node: ast.AST, tree: Tree) -> str | None:
    """Return the image in whose ``imports()`` block a node is; "" for one that isn't a name."""
    parent = tree.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.With):
            for item in parent.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "imports":
                    return call.func.value.id if isinstance(call.func.value, ast.Name) else ""
        parent = tree.parents.get(parent)
    return None


def _is_inside_function(node: ast.AST, tree: Tree) -> bool:
    parent: ast.AST | None = node
    while parent is not None:
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        parent = tree.parents.get(parent)
    return False
