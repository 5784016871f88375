"""PM104: several sessions where one would do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.remote_calls import has_own_client, is_app_run
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode, import_branch, is_guard, keyword

HINT = "open one `with app.run():` around all of it and make every call inside"


@dataclass(frozen=True)
class Session:
    """A place where a session starts: ``app.run()``, or the call of a function that holds one.

    Attributes
    ----------
    path : tuple
        The branches that lead to it, the outermost first.
    looped : bool
        Whether a ``for`` loop repeats it.
    """

    node: ast.Call
    app: str
    path: tuple[tuple[int, str], ...]
    looped: bool


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find the second session of an app in the same run of code, and sessions in loops."""
    if not script.apps:
        return
    by_owner: dict[tuple[ast.AST, bool], list[Session]] = {}
    holders: dict[ast.AST, str] = {}
    calls = script.all(ast.Call)
    for call in calls:
        if (app := is_app_run(call, script)) and not has_own_client(call):
            owner, session = _session(call, app, script)
            by_owner.setdefault(owner, []).append(session)
            if isinstance(owner[0], FunctionNode):
                holders[owner[0]] = app
    for call in calls if holders else []:
        called = script.scope_at(call).function(call.func)
        if called in holders:
            owner, session = _session(call, holders[called], script)
            if owner[0] is not called:
                by_owner.setdefault(owner, []).append(session)
    for sessions in by_owner.values():
        yield from _findings(script, sorted(sessions, key=lambda each: (each.node.lineno, each.node.col_offset)))


def _findings(script: Script, sessions: list[Session]) -> Iterator[Finding]:
    for index, session in enumerate(sessions):
        earlier = next((each for each in sessions[:index] if _both_run(each, session)), None)
        if any(branch == "handler" for _, branch in session.path):
            continue
        if earlier is not None:
            what = (
                f"another session of {session.app} starts here, after the one of line {earlier.node.lineno}: each "
                "costs its own start, image and model loads"
            )
        elif session.looped:
            what = f"a session of {session.app} starts in every round of the loop: each costs its own start and loads"
        else:
            continue
        yield script.find("PM104", session.node, what, HINT)


def _both_run(earlier: Session, later: Session) -> bool:
    """Whether the later session never runs without the earlier one."""
    return earlier.app == later.app and later.path[: len(earlier.path)] == earlier.path and _same_place(earlier, later)


def _same_place(one: Session, other: Session) -> bool:
    names = [keyword(session.node, "environment_name") for session in (one, other)]
    return len({ast.dump(name) if name is not None else "" for name in names}) == 1


def _session(call: ast.Call, app: str, script: Script) -> tuple[tuple[ast.AST, bool], Session]:
    """Return what runs a session (a function, the main guard or the import), and the session."""
    path: list[tuple[int, str]] = []
    looped = guarded = retried = False
    child: ast.AST = call
    node = script.parents[call]
    while not isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        if isinstance(node, ast.If) and is_guard(node) and child not in import_branch(node):
            guarded = True
        elif isinstance(node, ast.If | ast.IfExp | ast.Match):
            path.append((id(node), _branch(node, child)))
        elif isinstance(node, ast.For | ast.AsyncFor):
            looped |= child is not node.iter and not retried
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            looped |= not isinstance(child, ast.comprehension)
        retried |= isinstance(node, ast.Try | ast.TryStar | ast.ExceptHandler | ast.While)
        # A session in a handler only repeats one that failed.
        if isinstance(node, ast.ExceptHandler):
            path.append((id(node), "handler"))
        child, node = node, script.parents[node]
    return (node, guarded), Session(call, app, tuple(reversed(path)), looped)


def _branch(node: ast.AST, child: ast.AST) -> str:
    for name, value in ast.iter_fields(node):
        if value is child:
            return name
        if isinstance(value, list) and any(each is child for each in value):
            return f"{name} {value.index(child)}" if isinstance(node, ast.Match) else name
    return ""


RULE = Rule(
    code="PM104",
    level="error",
    title="Several sessions that could be one",
    why="""
Each `app.run()` starts a new session: the image is looked up, containers start, models are loaded again. That is two
to three minutes each time, which are paid for and compute nothing.
""",
    instead="""
Open one session and make all calls inside it. Code that decides between two calls can run inside the `with` block.
""",
    bad="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [len(problem) for problem in problems]

if __name__ == "__main__":
    with app.run():
        pilot = evaluate.remote(["1 + 1 ="])
    with app.run():
        full = evaluate.remote(["1 + 1 =", "2 + 2 ="])
""",
    good="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [len(problem) for problem in problems]

if __name__ == "__main__":
    with app.run():
        pilot = evaluate.remote(["1 + 1 ="])
        full = evaluate.remote(["1 + 1 =", "2 + 2 ="])
""",
    check=check,
    about_script=True,
)
