"""What the names of a file stand for: imports and their aliases, assignments, parameters, definitions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modal.checks.script import Script

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
ScopeNode = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
# The nodes that can bind a name in the scope around them.
BINDING = {
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.NamedExpr,
    ast.AugAssign,
    ast.For,
    ast.AsyncFor,
    ast.comprehension,
    ast.withitem,
    ast.ExceptHandler,
}
MAX_DEPTH = 12  # of assignments and calls that are followed; also ends cycles


class Scope:
    """The names of a module, function, lambda or class body.

    Attributes
    ----------
    imports : dict
        Name to dotted origin; relative imports start with a dot.
    values : dict
        Name to the expressions assigned to it; None for those that aren't expressions (loops, unpacking).
    parameters : dict
        Name to default, or None.
    """

    def __init__(self, node: ScopeNode, parent: Scope | None, script: Script) -> None:
        self.node, self.parent, self.script = node, parent, script
        self.imports: dict[str, str] = {}
        self.values: dict[str, list[ast.expr | None]] = {}
        self.parameters: dict[str, ast.expr | None] = {}
        self.functions: dict[str, FunctionNode] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        if isinstance(node, FunctionNode | ast.Lambda):
            self._take_parameters(node.args)
        bindings = script.bindings.get(node, [])
        for each in sorted(bindings, key=lambda binding: getattr(binding, "lineno", 0)):
            self._collect(each)

    def find(self, name: str) -> Scope | None:
        """Return the scope that binds a name, by Python's rule: class bodies don't show in their methods."""
        scope: Scope | None = self
        while scope is not None:
            visible = scope is self or not isinstance(scope.node, ast.ClassDef)
            if visible and any(
                name in bound
                for bound in (scope.parameters, scope.values, scope.imports, scope.functions, scope.classes)
            ):
                return scope
            scope = scope.parent
        return None

    def dotted(self, expression: ast.expr, depth: int = 0) -> str | None:
        """Return what an expression is called where it comes from: ``np.save`` is "numpy.save".

        Names that nothing binds keep their own name ("open"); what can't be known is None.
        """
        if isinstance(expression, ast.Attribute):
            base = self.dotted(expression.value, depth)
            return None if base is None else f"{base}.{expression.attr}"
        if not isinstance(expression, ast.Name) or depth > MAX_DEPTH:
            return None
        scope = self.find(expression.id)
        if scope is None:
            return expression.id
        if expression.id in scope.imports:
            return scope.imports[expression.id]
        assigned = scope.values.get(expression.id, [])
        if len(assigned) == 1 and isinstance(assigned[0], ast.Name | ast.Attribute):
            return scope.dotted(assigned[0], depth + 1)
        return None

    def function(self, expression: ast.expr) -> FunctionNode | None:
        """Return the definition in this file that an expression names."""
        if not isinstance(expression, ast.Name):
            return None
        scope = self.find(expression.id)
        return scope.functions.get(expression.id) if scope is not None else None

    def _take_parameters(self, arguments: ast.arguments) -> None:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        self.parameters.update((each.arg, default) for each, default in zip(positional, defaults, strict=True))
        self.parameters.update(
            (each.arg, default) for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        )
        for each in (arguments.vararg, arguments.kwarg):
            if each is not None:
                self.values.setdefault(each.arg, []).append(None)

    def _collect(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions[node.name] = node
            case ast.ClassDef():
                self.classes[node.name] = node
            case ast.Import() | ast.ImportFrom():
                self.imports.update(_imported(node))
            case ast.Assign():
                for target in node.targets:
                    self._bind(target, node.value)
            case ast.AnnAssign() | ast.NamedExpr() if node.value is not None:
                self._bind(node.target, node.value)
            case ast.AugAssign() | ast.For() | ast.AsyncFor() | ast.comprehension():
                self._bind(node.target, None)
            case ast.withitem() if node.optional_vars is not None:
                self._bind(node.optional_vars, node.context_expr)
            case ast.ExceptHandler() if node.name:
                self.values.setdefault(node.name, []).append(None)

    def _bind(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self.values.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple | ast.List):
            pairs: list[ast.expr | None] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                pairs = list(value.elts)
            for each, part in zip(target.elts, pairs, strict=True):
                self._bind(each.value if isinstance(each, ast.Starred) else each, part)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield alias.asname or alias.name, f"{origin}.{alias.name}" if node.module else origin + alias.name
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            top = alias.name.partition(".")[0]
            yield top, top


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    """Return an argument given by position or by keyword."""
    given = keyword(call, name)
    if given is None and index < len(call.args) and not any(isinstance(arg, ast.Starred) for arg in call.args[:index]):
        given = call.args[index]
    return None if isinstance(given, ast.Starred) else given


def text_of(expression: ast.expr | None, scope: Scope, depth: int = 0) -> str | None:
    """Return the text of a constant string, followed through names."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        return expression.value
    if isinstance(expression, ast.Name) and depth < MAX_DEPTH:
        where = scope.find(expression.id)
        assigned = where.values.get(expression.id, []) if where is not None else []
        if where is not None and len(assigned) == 1:
            return text_of(assigned[0], where, depth + 1)
    return None
