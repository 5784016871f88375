"""PM109: top-level statements and fixtures that make their state on the wrong machine."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.model_loads import fetched_by
from pytest_modal.checks.script.script import Body, GpuFunction, Script, Travelling
from pytest_modal.checks.script.state_settings import Setting, Used, is_autouse, settings_in
from pytest_modal.checks.script.tree import FunctionNode, Scope, Tree
from pytest_modal.wording import first_few

LARGE = 256 * 1024  # bytes of one value: above that it is an argument rather than a constant
_TABLES = ("pandas.read_", "polars.read_", "numpy.load", "numpy.genfromtxt")
_READ_HERE = {"torch.load", "joblib.load"}  # of what can travel, planning reads it
_IN_A_CONTAINER_FIXTURE = 'load it in a @pytest_modal.fixture(scope="container") and request that fixture'
_AS_AN_ARGUMENT = "return it from a local fixture, and request that: it is sent as an argument"


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find what is made on the wrong machine, among what functions need and among the fixtures beside them."""
    for function in functions:
        if function.planned is not None:
            yield from _about_what_travels(function.planned.travels)
        elif function.is_sliced:
            yield from _about_globals(function)
    own = [function for function in functions if function.is_sliced and function.planned is None]
    yield from _about_fixtures(script, own) if own else ()


def _about_what_travels(travels: Iterable[Travelling]) -> Iterator[Finding]:
    """Find trouble with constants and statements as they really travel."""
    for each in travels:
        if each.script is None or not isinstance(each.node, ast.stmt) or each.part.weak:
            continue
        if each.part.replaced:
            yield each.script.find("PM109", each.node, *_replaced(each.part.name))
        is_value = each.part.how in ("value", "pickle")
        is_run = each.part.how in ("source", "setting") and not isinstance(each.node, FunctionNode | ast.ClassDef)
        if is_value or is_run:
            trouble = _of_value(each, each.node) if is_value else _of_statement(each.script.load_in(each.node))
            if trouble is not None:
                yield each.script.find("PM109", each.node, *trouble)


def _replaced(name: str) -> tuple[str, str]:
    what = f"{name} was replaced on this machine since its file was imported: the container has what the file says"
    return what, "replace it in the function's body, or at the top of the file that the function is in"


def _of_value(each: Travelling, node: ast.stmt) -> tuple[str, str] | None:
    """Return what is wrong with a value that travels, and what to do."""
    name, size = each.part.name.rpartition(".")[2], each.part.size / 2**20
    pickled = each.part.how == "pickle"
    if each.script is not None and pickled and (load := each.script.load_in(node)) is not None:
        return _loaded_here(name, load)
    if each.part.decided_here:
        return (
            f"{name} asks about the machine or its environment and reads files: its value was decided on this machine "
            "and travels as it is",
            "ask in the function's body, and read the file at the top or in a local fixture",
        )
    if each.part.size > LARGE:
        how = "a pickled object" if pickled else "data"
        return f"{name} is {how} of {size:.1f} MiB and travels with each function that uses it", _AS_AN_ARGUMENT
    return None


def _loaded_here(name: str, load: str) -> tuple[str, str]:
    return f"{name} is loaded on this machine, by {load}, and travels pickled", _IN_A_CONTAINER_FIXTURE


def _of_statement(load: str | None) -> tuple[str, str] | None:
    """Return what is wrong with a statement that runs in the container, if it loads something."""
    if load is None:
        return None
    what = f"{load} is called at the top of the file: it runs again in each container, outside of a container fixture"
    return what, _IN_A_CONTAINER_FIXTURE


def _about_globals(function: GpuFunction) -> Iterator[Finding]:
    """Find trouble with the globals that a function uses, as far as their statements show."""
    seen: set[ast.stmt] = set()
    for node, scope in function.nodes():
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        tree, module = scope.tree, scope.tree.module
        assigned = module.values.get(node.id, [])
        if scope.find(node.id) is not module or len(assigned) != 1 or assigned[0] is None:
            continue
        statement = _statement_of(assigned[0], tree)
        if statement not in seen and (trouble := _described(node.id, assigned[0], statement, module)) is not None:
            seen.add(statement)
            yield tree.find("PM109", statement, *trouble)


def _statement_of(node: ast.AST, tree: Tree) -> ast.stmt:
    while not isinstance(node, ast.stmt):
        node = tree.parents[node]
    return node


def _described(name: str, value: ast.expr, statement: ast.stmt, module: Scope) -> tuple[str, str] | None:
    """Return what is wrong with a global, as far as its definition shows, and what to do."""
    called = (module.dotted(value.func) or "") if isinstance(value, ast.Call) else ""
    if called == "open":
        return (
            f"{name} is an open file, and no container has it",
            "open it in the function's body, or pass its content as a parameter",
        )
    if called.startswith(_TABLES):
        what = f"{name} is read from a file of this machine and travels with each function that uses it"
        return what, _AS_AN_ARGUMENT
    load = called if called in _READ_HERE else fetched_by(statement, module)
    if load is not None and (load in _READ_HERE or load.rpartition(".")[2] == "from_pretrained"):
        return _loaded_here(name, load)
    return _of_statement(load)


def _about_fixtures(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find autouse fixtures of the file that set what its GPU functions depend on."""
    fixtures = [node for node in script.definitions if is_autouse(node, script)]
    used = [Used.by(function, seeded="seed" in function.settings) for function in functions] if fixtures else []
    for node in fixtures:
        settings = [each for each in settings_in(Body(node, script)) if any(one.depends_on(each) for one in used)]
        if settings:
            yield of_fixture(node.name, settings)


def of_fixture(name: str, settings: list[Setting]) -> Finding:
    """Return the finding about an autouse fixture that sets something on this machine only."""
    names = list(dict.fromkeys(each.name for each in settings))
    verbs = "sets " + first_few(names)
    hints = []
    if any(each.is_seed for each in settings):
        hints.append("write seed= on the remote fixture, or the ini modal_seed, for random numbers")
    if any(not each.is_seed for each in settings):
        hints.append("set the state in the function's body, or at the top of its file: that runs in the container too")
    return settings[0].tree.find(
        "PM109",
        settings[0].node,
        f"the autouse fixture {name} {verbs} on this machine, not in the container where the GPU functions run",
        "; ".join(hints),
    )


RULE = Rule(
    code="PM109",
    level="warning",
    title="Top-level state is made on the wrong machine",
    why="""
The statements of a file that a function needs run again in each container. What was read from files can't: its value
travels. So a large table is sent with each function that uses it, and a model that is loaded at the top of a file is
pickled here, or downloaded by each container. A value that was read from a file and decided by this machine (its GPU,
its environment variables) stays as it was decided, though the container may be another one. And an autouse fixture runs
here only: the seed or the setting of torch that it makes has no effect on the GPU. So has a function or a constant that
a hook or a plugin has replaced: the container runs what the file says.
""",
    instead="""
Pass data as an argument, from a local fixture. Load models in a container fixture. Ask about the machine in the
function. Seed with `seed=`, and set the state of torch in the function's body or at the top of its file. Constants,
locks, and arrays that an expression makes are fine.
""",
    bad="""
import pandas as pd
import pytest_modal

PROBLEMS = pd.read_csv("problems.csv")

@pytest_modal.fixture
def answers():
    return [len(problem) for problem in PROBLEMS.prompt]
""",
    good="""
import pandas as pd
import pytest
import pytest_modal

@pytest.fixture(scope="session")
def problems():
    return list(pd.read_csv("problems.csv").prompt)

@pytest_modal.fixture
def answers(problems):
    return [len(problem) for problem in problems]
""",
    check=check,
)
