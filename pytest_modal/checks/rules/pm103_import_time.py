"""PM103: sessions and remote calls at import time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.remote_calls import called_remotely, has_own_client, is_app_run
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import is_guarded

HINT = 'put it under `if __name__ == "__main__":` or into a function under @app.local_entrypoint()'


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find what starts a session, or calls a GPU function, when the file is imported."""
    own = [function for function in script.functions if function.kind in ("modal", "class")]
    if not script.apps or (own and all(function.by_value for function in own)):
        return
    by_name = {function.name: function for function in own if function.app in script.apps}
    inside: set[ast.AST] = set()
    for node in script.at_import:
        if not isinstance(node, ast.Call) or node in inside:
            continue
        if app := is_app_run(node, script):
            inside |= _with_block_of(node, script)
            if not has_own_client(node):
                yield _finding(script, node, f"{app}.run() runs when the file is imported")
        elif function := called_remotely(node, script, by_name):
            yield _finding(script, node, f"{function.name} is called when the file is imported")
        elif (called := script.module.function(node.func)) and called not in {each.node for each in own}:
            started = next(
                (
                    app
                    for inner, _ in script.walk(called)
                    if (app := is_app_run(inner, script)) and not is_guarded(inner, script, called)
                ),
                None,
            )
            if started:
                what = f"{called.name}() runs {started}.run() when the file is imported"
                yield _finding(script, node, what)


def _with_block_of(call: ast.Call, script: Script) -> set[ast.AST]:
    """Return the nodes of the ``with`` block that a session spans: one finding is enough for it."""
    item = script.parents[call]
    block = script.parents.get(item)
    return set(ast.walk(block)) if isinstance(item, ast.withitem) and block is not None else set()


def _finding(script: Script, node: ast.Call, what: str) -> Finding:
    return script.find(
        "PM103",
        node,
        f"{what}, and Modal imports it in each container: Can not run an app in global scope within a container",
        HINT,
    )


RULE = Rule(
    code="PM103",
    level="error",
    title="A session starts when the file is imported",
    why="""
Modal imports the file in every container in order to find the function. A session or a remote call at the top level
then runs there too: `InvalidError: Can not run an app in global scope within a container`, after the image was built.
""",
    instead="""
Put everything that executes under `if __name__ == "__main__":`, or into a function under `@app.local_entrypoint()`.
""",
    bad="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [len(problem) for problem in problems]

with app.run():
    print(evaluate.remote(["1 + 1 ="]))
""",
    good="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [len(problem) for problem in problems]

if __name__ == "__main__":
    with app.run():
        print(evaluate.remote(["1 + 1 ="]))
""",
    check=check,
    about_script=True,
)
