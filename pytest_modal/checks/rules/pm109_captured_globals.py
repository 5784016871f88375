"""PM109: module globals that travel with a function and shouldn't."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.model_loads import is_pretrained
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import Scope

LARGE = 256 * 1024  # bytes: above that Modal warns of a large function
_TABLES = {"pandas.read_", "polars.read_", "numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "datasets.load_"}
_MODELS = {"torch.load", "torch.hub.load", "torch.nn.", "transformers.pipeline", "joblib.load", "tensorflow.keras."}
_HANDLES = {
    "open": "an open file",
    "threading.Lock": "a lock",
    "threading.RLock": "a lock",
    "threading.Thread": "a thread",
    "multiprocessing.Pool": "a process pool",
    "concurrent.futures.ThreadPoolExecutor": "a thread pool",
    "concurrent.futures.ProcessPoolExecutor": "a process pool",
    "sqlite3.connect": "a database connection",
    "socket.socket": "a socket",
    "torch.cuda.Stream": "a CUDA stream",
}
_ARRAYS = {
    "zeros",
    "ones",
    "empty",
    "rand",
    "randn",
    "randint",
    "normal",
    "arange",
    "full",
    "random",
    "standard_normal",
}


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find globals of functions that travel by value which are large, or not data."""
    for function in functions:
        if not function.by_value:
            continue
        seen: set[tuple[int, str]] = set()
        for node, scope in function.nodes():
            if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
                continue
            module = scope.tree.module
            if scope.find(node.id) is not module or (id(module), node.id) in seen or node.id not in module.values:
                continue
            seen.add((id(module), node.id))
            what = _measured(node.id, function) if function.planned is not None else None
            what = what or _described(module.values[node.id], module)
            if what:
                yield _finding(scope, node, function, what)


def _measured(name: str, function: GpuFunction) -> str | None:
    """Return what is wrong with a value that travels."""
    parts = [each.part for each in function.planned.travels] if function.planned is not None else []
    size = max((part.size for part in parts if part.name.rpartition(".")[2] == name), default=0)
    return f"large ({size / 2**20:.1f} MiB)" if size > LARGE else None


def _described(assigned: list[ast.expr | None], module: Scope) -> str | None:
    """Return what is wrong with a value, as far as its definition shows."""
    if len(assigned) != 1 or assigned[0] is None:
        return None
    value = assigned[0]
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        # In X.from_pretrained(...).eval().cuda() the innermost call counts.
        if is_pretrained(value, module):
            return "a model"
        if not isinstance(value.func.value, ast.Call):
            break
        value = value.func.value
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
        return _repeated(value)
    if not isinstance(value, ast.Call):
        return None
    name = module.dotted(value.func) or ""
    if name in _HANDLES:
        return _HANDLES[name]
    if name.startswith(tuple(_MODELS)):
        return "a model"
    if name.startswith(tuple(_TABLES)):
        return "a table that was read from a file"
    top, _, last = name.partition(".")[0], "", name.rpartition(".")[2]
    if top in ("numpy", "torch") and last in _ARRAYS:
        return _array(value)
    return None


def _array(call: ast.Call) -> str | None:
    numbers = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant) and type(part.value) is int]
    size = 4
    for number in numbers:
        size *= max(number, 1)
    return f"large (about {size / 2**20:.0f} MiB)" if size > 4 * LARGE else None


def _repeated(value: ast.BinOp) -> str | None:
    numbers = [each.value for each in (value.left, value.right) if isinstance(each, ast.Constant)]
    parts = [each for each in (value.left, value.right) if isinstance(each, ast.List)]
    if parts and numbers and type(numbers[0]) is int and numbers[0] * 8 > LARGE:
        return f"large (about {numbers[0] * 8 / 2**20:.0f} MiB)"
    return None


def _finding(scope: Scope, node: ast.Name, function: GpuFunction, what: str) -> Finding:
    return scope.tree.find(
        "PM109",
        node,
        f"{function.name} uses the global {node.id}, which is {what} and travels inside the function: each container "
        "unpickles it, and later changes to it go unnoticed",
        "pass it as an argument, or build it in the function or in a container fixture",
    )


RULE = Rule(
    code="PM109",
    level="warning",
    title="A large global, or one that is not data, travels with the function",
    why="""
Functions are shipped by value, with the module globals that they use. A table or an array becomes part of the
function: it is sent again whenever the code changes, Modal refuses functions above 16 MiB, and a model, an open file
or a lock can't be shipped at all.
""",
    instead="""
Pass the data that the function works on as an argument, from a fixture. Build what can't travel (a model, a
connection) in a container fixture. Small constants are fine.
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
