"""Calls that leave this machine: ``f.remote(...)``, ``Model().method.map(...)``, ``app.run()``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import keyword

REMOTE = {"remote", "map", "starmap", "spawn", "spawn_map", "for_each", "remote_gen"}


def remote_calls(script: Script) -> Iterator[tuple[ast.Call, GpuFunction]]:
    """Yield the calls of this file's own GPU functions that go to a container."""
    if not script.functions:
        return
    by_name = {function.name: function for function in script.functions if function.kind in ("modal", "class")}
    for node in script.all(ast.Call):
        if function := called_remotely(node, script, by_name):
            yield node, function


def called_remotely(call: ast.Call, script: Script, by_name: dict[str, GpuFunction]) -> GpuFunction | None:
    """Return the GPU function that a call sends work to."""
    method = call.func
    if isinstance(method, ast.Attribute) and method.attr == "aio":
        method = method.value
    if not isinstance(method, ast.Attribute) or method.attr not in REMOTE:
        return None
    owner: ast.expr = method.value
    for _ in range(6):
        # Model(...).method.remote(), Model.with_options(...)().method.map(), f.with_options(...).remote()
        if isinstance(owner, ast.Attribute):
            owner = owner.value
        elif isinstance(owner, ast.Call):
            owner = owner.func
        elif isinstance(owner, ast.Name):
            function = by_name.get(owner.id)
            if function is not None:
                return function
            scope = script.scope_at(call).find(owner.id)
            assigned = scope.values.get(owner.id, []) if scope is not None else []
            if len(assigned) != 1 or assigned[0] is None:
                return None
            owner = assigned[0]
        else:
            return None
    return None


def is_app_run(call: ast.AST, script: Script) -> str | None:
    """Return the name of the app of this file that a call starts."""
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "run":
        return script.is_app(call.func.value)
    return None


def has_own_client(call: ast.Call) -> bool:
    """Whether a session has ``client=``: then it tests Modal itself, or uses another server."""
    return keyword(call, "client") is not None
