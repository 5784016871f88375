"""PM111: state of a module that one call changes and the next one finds."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.image import local_module
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode, Scope


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find augmented assignments to what a module holds, in functions that run once for each call."""
    for function in functions:
        if function.kind == "container":  # what it sets is meant for the calls that use it
            continue
        for node, scope in function.nodes():
            if isinstance(node, ast.AugAssign) and _is_shared(node.target, scope):
                owner = _function_around(scope)
                if owner is not None and not _starts_anew(owner, node):
                    yield _finding(scope, node, owner)


def _function_around(scope: Scope) -> FunctionNode | None:
    while not isinstance(scope.node, FunctionNode):
        if scope.parent is None:
            return None
        scope = scope.parent
    return scope.node


def _is_shared(target: ast.expr, scope: Scope) -> bool:
    """Whether an assignment changes what a module holds."""
    if isinstance(target, ast.Name):
        return any(isinstance(each, ast.Global) and target.id in each.names for each in ast.walk(scope.node))
    base = _base(target)
    module = scope.tree.module
    if base is None or scope.find(base.id) is not module:
        return False
    if base.id not in module.imports:
        return True
    return local_module(module.imports[base.id].partition(".")[0], scope.tree) is not None


def _base(target: ast.expr) -> ast.Name | None:
    """Return the name in ``name[...]``, ``name.attribute`` and what is longer."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return target if isinstance(target, ast.Name) else None


def _starts_anew(owner: FunctionNode, change: ast.AugAssign) -> bool:
    """Whether each call sets before what it changes."""
    base = _base(change.target) or change.target
    fresh = {ast.unparse(change.target), ast.unparse(base), f"{ast.unparse(base)}.clear()"}
    for statement in owner.body:
        if statement.lineno >= change.lineno:
            return False
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if fresh & {ast.unparse(target) for target in targets}:
                return True
        elif isinstance(statement, ast.Expr) and ast.unparse(statement.value) in fresh:
            return True
    return False


def _finding(scope: Scope, node: ast.AugAssign, owner: FunctionNode) -> Finding:
    return scope.tree.find(
        "PM111",
        node,
        f"{owner.name} changes {ast.unparse(node.target)}, which its module keeps: the next call in the same process "
        "finds what this one has left, so a result depends on the calls before it",
        "count in a local variable and return it, or set the start value in each call",
    )


RULE = Rule(
    code="PM111",
    level="warning",
    title="What one call changes in a global, the next sees",
    why="""
The calls of a container share its modules, as functions of one program do. A counter or a list in a global goes on from
where the last call left it: a result then depends on which calls ran before in that process, on retries, and on which
tests were selected. On several containers each one has its own.
""",
    instead="""
Use a local variable, and return what the test needs. What is loaded once and never changed again may be kept in a
global (`if model is None: model = load()`), or better in a container fixture.
""",
    bad="""
import pytest_modal

STATISTICS = {"tokens": 0}

@pytest_modal.fixture
def answers(problems):
    STATISTICS["tokens"] += sum(len(problem) for problem in problems)
    return {"answers": problems, **STATISTICS}
""",
    good="""
import pytest_modal

@pytest_modal.fixture
def answers(problems):
    tokens = sum(len(problem) for problem in problems)
    return {"answers": problems, "tokens": tokens}
""",
    check=check,
)
