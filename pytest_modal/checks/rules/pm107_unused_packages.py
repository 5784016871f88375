"""PM107: packages of an image that nothing on the GPU uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.image import Image, image_of, local_module
from pytest_modal.checks.script.imports import has_unknown_names, modules_seen, uses_module
from pytest_modal.checks.script.path_uses import RUNNERS
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.tree import FunctionNode
from pytest_modal.code.distributions import MAY_USE, MUST_BE_IMPORTED, RUNTIME, brought_by, is_standard, providers

Named = ast.expr | FunctionNode | ast.ClassDef


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find packages that are named in an image and that no function with that image can use."""
    users: dict[Named, list[tuple[str, GpuFunction, bool]]] = {}
    for function in functions:
        image = image_of(function)
        candidates = MUST_BE_IMPORTED & set(image.packages)
        if candidates:
            used = _used(function, image)
            for package in candidates:
                node: Named = image.packages[package] or function.node
                users.setdefault(node, []).append((package, function, used is None or package in used))
    for node, uses in users.items():
        package, function, _ = uses[0]
        if not any(used for *_, used in uses) and not _is_mentioned(package, node, script):
            yield _finding(script, node, package, function)


def _used(function: GpuFunction, image: Image) -> set[str] | None:
    """Return the packages that a function can use, or None where that can't be known."""
    modules = modules_seen(function)
    if (
        image.any_source
        or image.sources
        or image.search_path
        or not image.complete
        or has_unknown_names(function)
        or uses_module(function, tuple(RUNNERS))
    ):
        return None
    imported: set[str] = set()
    for module in modules:
        known = providers(module)
        if known:
            imported |= set(known)
        elif not module or module == "google" or not (is_standard(module) or module in RUNTIME | {"pytest_modal"}):
            return None
        if local_module(module, function.script) is not None:
            return None
    return brought_by(imported) | {each for name in imported for each in MAY_USE.get(name, "").split()}


def _is_mentioned(package: str, node: ast.AST, script: Script) -> bool:
    """Whether other text of the file names the package: a command line, a plotting back end."""
    words = {package, package.replace("-", "_")}
    return any(
        isinstance(other.value, str)
        and other is not node
        and other not in ast.walk(node)
        and not isinstance(script.parents[other], ast.Expr)
        and any(word in other.value for word in words)
        for other in script.all(ast.Constant)
    )


def _finding(script: Script, node: Named, package: str, function: GpuFunction) -> Finding:
    return script.find(
        "PM107",
        node,
        f"the image of {function.name} has {package}, which nothing on the GPU imports: it makes the image slower "
        "for no use",
        f"remove {package} from the image; what only the local part imports need not be there",
    )


RULE = Rule(
    code="PM107",
    level="warning",
    title="A package in the image that nothing uses",
    why="""
Every package makes the image slower to build and to start, and is one more version that can conflict. Plotting and
table libraries are often listed for the local part of the script, which doesn't need them in the image.
""",
    instead="""
Name only what the GPU functions import. Make tables and figures where the results arrive.
""",
    bad="""
import modal

image = modal.Image.debian_slim().pip_install("torch", "matplotlib")
app = modal.App("evaluation", image=image)

@app.function(gpu="T4")
def evaluate(problems):
    import torch

    return torch.tensor([len(problem) for problem in problems]).tolist()
""",
    good="""
import modal

image = modal.Image.debian_slim().pip_install("torch")
app = modal.App("evaluation", image=image)

@app.function(gpu="T4")
def evaluate(problems):
    import torch

    return torch.tensor([len(problem) for problem in problems]).tolist()
""",
    check=check,
)
