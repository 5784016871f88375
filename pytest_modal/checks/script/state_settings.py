"""Settings of a process that a fixture makes: seeds, and the state of torch and numpy."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_modal.checks.script.imports import needed_in_container
from pytest_modal.checks.script.script import Body, GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode, Scope, Tree, keyword
from pytest_modal.code.distributions import brought_by, providers

SEEDS = {
    "random.seed",
    "numpy.random.seed",
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "transformers.set_seed",
    "accelerate.utils.set_seed",
    "lightning.seed_everything",
    "lightning.pytorch.seed_everything",
    "pytorch_lightning.seed_everything",
    "tensorflow.random.set_seed",
}
_STATE = {"torch.use_deterministic_algorithms", "torch.random.set_rng_state", "numpy.random.set_state", "numpy.seterr"}
_SHOWN_ONLY = {"torch.set_printoptions", "torch.set_warn_always"}
_SWITCHES = ("torch.backends.",)
_DRAW_FROM_NUMPY = {"numpy", "scipy", "sklearn", "pandas", "datasets"}  # torch draws its own
_DEEPEST = 3  # helpers of helpers of a fixture

# Returns the function that a dotted name of another file means.
Elsewhere = Callable[[str], Body | None]


@dataclass(frozen=True)
class Setting:
    """A call or an assignment in a fixture that changes the state of its process.

    Attributes
    ----------
    name : str
        What is called or assigned, as "torch.manual_seed".
    node : expr
        Where, in the fixture itself.
    """

    name: str
    node: ast.expr
    tree: Tree

    @property
    def is_seed(self) -> bool:
        """Whether it is what ``seed=`` does."""
        return self.name in SEEDS


def settings_in(fixture: Body, elsewhere: Elsewhere = lambda name: None) -> list[Setting]:
    """Return the settings that a fixture makes before its test, by the local functions that it calls too."""
    nodes = fixture.script.walk(fixture.node)
    end = min((node.lineno for node, _ in nodes if isinstance(node, ast.Yield)), default=None)
    return [
        Setting(name, node, fixture.script)
        for node, scope in nodes
        if isinstance(node, ast.expr) and (end is None or node.lineno <= end)
        for name in _names(node, scope, fixture.script, elsewhere, _DEEPEST)
    ]


def _names(node: ast.AST, scope: Scope, script: Script, elsewhere: Elsewhere, depth: int) -> Iterator[str]:
    """Yield what a call sets, or the assignment to an attribute."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        name = scope.dotted(node) or ""
        if name.startswith(_SWITCHES):
            yield name
    elif isinstance(node, ast.Call):
        name = scope.dotted(node.func) or ""
        own = scope.function(node.func)
        called = Body(own, script) if own is not None else elsewhere(name)
        if _is_setting(name):
            yield name
        elif called is not None and depth:
            for inner, around in called.script.walk(called.node):
                yield from _names(inner, around, called.script, elsewhere, depth - 1)


def _is_setting(name: str) -> bool:
    last = name.rpartition(".")[2]
    return name in SEEDS | _STATE or (name.startswith("torch.") and last.startswith("set_") and name not in _SHOWN_ONLY)


def is_autouse(function: FunctionNode, tree: Tree) -> bool:
    """Whether a function is an autouse fixture of pytest."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and tree.dotted(decorator.func) == "pytest.fixture":
            given = keyword(decorator, "autouse")
            return isinstance(given, ast.Constant) and given.value is True
    return False


@dataclass(frozen=True)
class Used:
    """What a GPU function uses, as far as settings matter to it.

    Attributes
    ----------
    modules : set of str
        The top-level modules that it imports.
    calls : set of str
        What it calls, as dotted names.
    seeded : bool
        Whether it is seeded by ``seed=``.
    """

    modules: frozenset[str]
    calls: frozenset[str]
    seeded: bool

    @classmethod
    def by(cls, function: GpuFunction, *, seeded: bool) -> Used:
        """Return what a function and its helpers use."""
        calls = {scope.dotted(node.func) or "" for node, scope in function.nodes() if isinstance(node, ast.Call)}
        return cls(frozenset(each.top for each in needed_in_container(function)), frozenset(calls), seeded)

    def depends_on(self, setting: Setting) -> bool:
        """Whether the function may do something else where a setting is not made."""
        if setting.is_seed and self.seeded:
            return False
        top = setting.name.partition(".")[0]
        if top == "random":
            return any(name.startswith("random.") for name in self.calls)
        if top == "numpy":
            return bool(self.modules & _DRAW_FROM_NUMPY)
        distributions = {name for module in self.modules for name in providers(module)[:1]}
        return top in self.modules or top in brought_by(distributions)
