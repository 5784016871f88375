"""PM108: the same model loaded by several calls."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.model_loads import ModelLoad, loads
from pytest_modal.checks.script.script import GpuFunction, Script


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
parametrization, and again by every other fixture that uses the same model.
""",
    instead="""
Load it in a fixture of scope "container" and request that fixture: it is built once in the container, stays there, and
is released after its last user.
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
