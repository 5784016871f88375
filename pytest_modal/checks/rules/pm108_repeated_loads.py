"""PM108: the same model loaded by several calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.model_loads import ModelLoad, loads
from pytest_modal.checks.script.remote_calls import remote_calls
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find models that more than one data fixture of the file loads in its body."""
    found: dict[str, list[tuple[GpuFunction, ModelLoad]]] = {}
    for function in functions:
        if function.kind not in ("fixture", "marked"):
            continue
        for load in loads(function.nodes()):
            if load.model is not None:
                found.setdefault(load.model, []).append((function, load))
    for model, users in found.items():
        names = list(dict.fromkeys(function.name for function, _ in users))
        if len(names) > 1:
            for name in names:
                function, load = next(user for user in users if user[0].name == name)
                others = [other for other in names if other != name]
                verb = "does" if len(others) == 1 else "do"
                yield finding(function, load, f"{function.name} loads {model}, and so {verb} {' and '.join(others)}")

    yield from _in_scripts(script, functions)


def _in_scripts(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find models that a plain Modal script loads again and again: in several functions, or in one called often."""
    found: dict[str, dict[str, ModelLoad]] = {}
    for function in functions:
        # Without a GPU it downloads, for others to find it in a volume.
        if function.kind == "modal" and "gpu" in function.settings:
            for load in loads(function.nodes()):
                if load.model is not None and not _is_kept(load):
                    found.setdefault(load.model, {}).setdefault(function.name, load)
    often = {function.name for call, function in remote_calls(script) if _is_repeated(call, script)}
    for model, users in found.items():
        for name, load in users.items():
            others = [other for other in users if other != name]
            what = f"{name} loads {model}, and so does {' and '.join(others)}"
            if not others:
                what = f"{name} loads {model}, and is called for many inputs"
            if others or name in often:
                yield load.scope.tree.find(
                    "PM108",
                    load.node,
                    f"{what}: each call loads it again",
                    "load it once per container: in a method under @modal.enter() of a class under @app.cls, whose "
                    "other methods use it",
                )


def _is_kept(load: ModelLoad) -> bool:
    """Whether a load is done once for all calls: behind a condition, in a cached helper, or for a global name."""
    tree = load.scope.tree
    node: ast.AST = load.node
    while node in tree.parents:
        node = tree.parents[node]
        if isinstance(node, ast.If | ast.IfExp):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            cached = any("cache" in ast.dump(decorator) for decorator in node.decorator_list)
            return cached or any(isinstance(each, ast.Global) for each in ast.walk(node))
    return False


def _is_repeated(call: ast.Call, script: Script) -> bool:
    """Whether a remote call sends many inputs: a map, or a call in a loop."""
    method = call.func
    if isinstance(method, ast.Attribute) and method.attr == "aio":
        method = method.value
    if isinstance(method, ast.Attribute) and ("map" in method.attr or method.attr == "for_each"):
        return True
    child: ast.AST = call
    while (node := script.parents.get(child)) is not None and not isinstance(node, FunctionNode):
        if isinstance(node, ast.For | ast.AsyncFor) and child in node.body:
            return True
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp) and child is node.elt:
            return True
        if isinstance(node, ast.DictComp) and child in (node.key, node.value):
            return True
        child = node
    return False


def finding(function: GpuFunction, load: ModelLoad, what: str) -> Finding:
    """Return the finding for one load."""
    return load.scope.tree.find(
        "PM108",
        load.node,
        f"{what}: each call loads it again",
        f'load it once per container: move it into a @pytest_modal.fixture(scope="container") that {function.name} '
        "requests",
    )


RULE = Rule(
    code="PM108",
    level="warning",
    title="A model is loaded by several calls",
    why="""
Loading a model takes longer than most calls on it. In the body of a data fixture it is loaded by each call: by each
parametrization, and again by every other fixture that uses the same model. So does a function of a plain Modal script
that is called for many inputs.
""",
    instead="""
Load it in a fixture of scope "container" and request that fixture: it is built once in the container, stays there, and
is released after its last user. In a plain Modal script: in a method under `@modal.enter()`.
""",
    bad="""
import pytest_modal

@pytest_modal.fixture
def answers(problems):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    return [solve(model, problem) for problem in problems]

@pytest_modal.fixture
def perplexity(texts):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("gpt2")
    return [surprise(model, text) for text in texts]
""",
    good="""
import pytest_modal

@pytest_modal.fixture(scope="container")
def gpt2():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained("gpt2")

@pytest_modal.fixture
def answers(gpt2, problems):
    return [solve(gpt2, problem) for problem in problems]

@pytest_modal.fixture
def perplexity(gpt2, texts):
    return [surprise(gpt2, text) for text in texts]
""",
    check=check,
)
