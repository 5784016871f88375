"""A file as a tree: what is above and below each node, and what its names refer to."""

from __future__ import annotations

import ast
import collections
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.script.source import Source

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

LEAVES = {ast.Name, ast.Constant, ast.alias, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal}
GUARDS = {"__name__", "is_local", "is_remote", "TYPE_CHECKING"}

AnyNode = TypeVar("AnyNode", bound=ast.AST)


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

    def __init__(self, node: ScopeNode, parent: Scope | None, tree: Tree) -> None:
        self.node, self.parent, self.tree = node, parent, tree
        self.imports: dict[str, str] = {}
        self.values: dict[str, list[ast.expr | None]] = {}
        self.parameters: dict[str, ast.expr | None] = {}
        self.functions: dict[str, FunctionNode] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        if isinstance(node, FunctionNode | ast.Lambda):
            self._take_parameters(node.args)
        bindings = tree.bindings.get(node, [])
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


class Tree:
    """The syntax tree of a file: what is above and below each node, and what names mean there.

    Attributes
    ----------
    source : Source
        The file.
    parents, children : dict
        What is above and below each node.
    bindings : dict
        For each scope, the nodes that bind names in it.
    local_modules : dict
        Modules that were looked for beside the file.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.parents: dict[ast.AST, ast.AST] = {}
        self.children: dict[ast.AST, list[ast.AST]] = {}
        self.local_modules: dict[str, Path | None] = {}
        self.bindings: dict[ast.AST, list[ast.AST]] = {}
        self._by_type: dict[type, list[Any]] = collections.defaultdict(list)
        self._read(source.tree)
        self._scopes: dict[ast.AST, Scope] = {}
        self._walked: dict[ast.AST, list[tuple[ast.AST, Scope]]] = {}
        self.module = self.scope_of(source.tree)

    def dotted(self, expression: ast.expr) -> str | None:
        """Return what an expression is called where it comes from; see `Scope.dotted`."""
        return self.scope_at(expression).dotted(expression)

    def scope_of(self, node: ScopeNode) -> Scope:
        """Return the scope that a function, class or module opens."""
        scope = self._scopes.get(node)
        if scope is None:
            parent = self.parents.get(node)
            scope = self._scopes[node] = Scope(node, self.scope_at(parent) if parent is not None else None, self)
        return scope

    def scope_at(self, node: ast.AST) -> Scope:
        """Return the scope of a node."""
        while not isinstance(node, ScopeNode):
            node = self.parents[node]
        return self.scope_of(node)

    def walk(self, function: FunctionNode) -> list[tuple[ast.AST, Scope]]:
        """Return the nodes of a function's body in order, nested functions included, each with its scope."""
        if function not in self._walked:
            found: list[tuple[ast.AST, Scope]] = []
            scope = self.scope_of(function)
            stack: list[tuple[ast.AST, Scope]] = [(statement, scope) for statement in reversed(function.body)]
            while stack:
                node, scope = stack.pop()
                found.append((node, scope))
                inner = self.scope_of(node) if isinstance(node, ScopeNode) else scope
                stack += [(child, inner) for child in reversed(self.children[node])]
            self._walked[function] = found
        return self._walked[function]

    def release(self) -> None:
        """Drop everything: scopes refer back to their tree, which would be freed only by a garbage collection."""
        vars(self).clear()

    def all(self, kind: type[AnyNode]) -> list[AnyNode]:
        """Return the nodes of one type in the whole file."""
        return self._by_type[kind]

    @property
    def definitions(self) -> list[FunctionNode]:
        """Every function that the file defines."""
        return [*self.all(ast.FunctionDef), *self.all(ast.AsyncFunctionDef)]

    @functools.cached_property
    def at_import(self) -> list[ast.AST]:
        """The nodes that run when the file is imported; those under a guard don't."""
        found: list[ast.AST] = []
        stack: list[ast.AST] = list(reversed(self.source.tree.body))
        while stack:
            node = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and is_guard(node):
                stack += reversed(import_branch(node))
                continue
            found.append(node)
            stack += reversed(self.children[node])
        return found

    def method_of_self(self, expression: ast.Attribute, scope: Scope) -> FunctionNode | None:
        """Return the method that ``self.name`` refers to."""
        owner = self.class_at(scope)
        if owner is None or not isinstance(expression.value, ast.Name) or expression.value.id not in ("self", "cls"):
            return None
        return next((method for method in methods(owner) if method.name == expression.attr), None)

    def class_at(self, scope: Scope) -> ast.ClassDef | None:
        """Return the class in whose methods a scope lies."""
        while scope.parent is not None:
            if isinstance(scope.node, ast.ClassDef):
                return scope.node
            scope = scope.parent
        return None

    def find(self, code: str, node: ast.expr | ast.stmt | ast.arg | ast.alias, message: str, hint: str) -> Finding:
        """Return a finding at a node."""
        line, column, last, end = self.source.position(node)
        return Finding(self.source.path, line, column, code, message, hint, last, end)

    def _read(self, tree: ast.Module) -> None:
        """Note for each node what is above and below it, and for each scope what binds names in it."""
        nodes: list[ast.AST] = [tree]
        parents, children, by_type = self.parents, self.children, self._by_type
        for node in nodes:
            kind = type(node)
            by_type[kind].append(node)
            # Half of all nodes are names and constants.
            below = children[node] = [] if kind in LEAVES else _children(node)
            for child in below:
                parents[child] = node
            nodes += below
        for binding in BINDING:
            for node in by_type[binding]:
                owner = self.parents[node]
                while not isinstance(owner, ScopeNode):
                    owner = self.parents[owner]
                self.bindings.setdefault(owner, []).append(node)


def methods(node: ast.ClassDef) -> list[FunctionNode]:
    """Return the methods of a class."""
    return [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_guard(node: ast.If) -> bool:
    """Whether an ``if`` depends on how the file is run: its main guard, ``modal.is_local()``, type checkers."""
    return any(
        (isinstance(part, ast.Name) and part.id in GUARDS) or (isinstance(part, ast.Attribute) and part.attr in GUARDS)
        for part in ast.walk(node.test)
    )


def import_branch(guard: ast.If) -> list[ast.stmt]:
    """Return what runs under a guard although the file is imported: ``else``, or the body of one turned round."""
    match _holds_for_main(guard.test):
        case True:
            return guard.orelse
        case False:
            return guard.body
    return []


def is_guarded(node: ast.AST, tree: Tree, top: ast.AST | None = None) -> bool:
    """Whether a node runs only where a guard lets it, as far up as `top`."""
    while node is not top and node in tree.parents:
        child, node = node, tree.parents[node]
        if isinstance(node, ast.If) and is_guard(node) and child not in import_branch(node):
            return True
    return False


def is_main_only(node: ast.AST, tree: Tree) -> bool:
    """Whether a node runs only in the process that the file was started with, never where it is imported."""
    while node in tree.parents:
        child, node = node, tree.parents[node]
        if isinstance(node, ast.If) and _holds_for_main(node.test) is not None and child not in import_branch(node):
            return child is not node.test
    return False


def _holds_for_main(test: ast.expr) -> bool | None:
    """Whether a test holds where ``__name__`` is "__main__" and only there, the other way round, or neither."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _holds_for_main(test.operand)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        # "main and more" holds only there; "imported or more" holds wherever it is imported.
        decisive = isinstance(test.op, ast.And)
        return decisive if any(_holds_for_main(part) is decisive for part in test.values) else None
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    sides = [test.left, test.comparators[0]]
    if not any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides):
        return None
    if not any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides):
        return None
    return True if isinstance(test.ops[0], ast.Eq) else False if isinstance(test.ops[0], ast.NotEq) else None


def _children(node: ast.AST) -> list[ast.AST]:
    """Return what is below a node, without load and store contexts and operators, which no rule needs."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [each for each in value if isinstance(each, ast.AST)]
        elif name != "ctx" and name != "op" and isinstance(value, ast.AST):
            found.append(value)
    return found


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
    """Return an argument, passed by position or by keyword."""
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
