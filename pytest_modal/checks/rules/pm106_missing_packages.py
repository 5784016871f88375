"""PM106: packages that the image lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.image import Image, image_of, local_module
from pytest_modal.checks.script.imports import Imported, needed_in_container
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.code.distributions import BRINGS, RUNTIME, brought_by, is_standard, providers


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find imports of packages that are certainly not in the image."""
    seen: set[ast.AST] = set()
    for function in functions:
        image = image_of(function)
        # What an unknown package brings along isn't known either.
        if not image.complete or image.search_path or not all(name in BRINGS for name in image.packages):
            continue
        there = brought_by(set(image.packages))
        for imported in needed_in_container(function):
            # Of a planned function it is known that a package is meant.
            local = function.planned is None and local_module(imported.top, imported.tree) is not None
            if imported.node not in seen and not local and _is_missing(imported, there, image):
                seen.add(imported.node)
                yield _finding(imported, function)


def _is_missing(imported: Imported, there: set[str], image: Image) -> bool:
    top = imported.top
    if not top or is_standard(top) or top in RUNTIME or top in image.sources or top in ("pytest_modal", "pytest"):
        return False
    known = providers(top)
    return bool(known) and not there & set(known)


def _finding(imported: Imported, function: GpuFunction) -> Finding:
    package = providers(imported.top)[0]
    if imported.at_top and not function.by_value:
        why = "which Modal imports in each container"
        message = (
            f"the script, {why}, imports {imported.top} at its top level, and the image of {function.name} lacks it"
        )
        hint = f'add "{package}" to the image, or import it in the function that needs it'
    else:
        message = f"{function.name} imports {imported.top}, which its image lacks: ModuleNotFoundError after the build"
        by = f'packages=[..., "{package}"]' if function.kind != "modal" and function.kind != "class" else ""
        hint = f"write {by}, or remove packages=, so that they are derived" if by else f'add "{package}" to the image'
    return imported.tree.find("PM106", imported.node, message, hint)


RULE = Rule(
    code="PM106",
    level="error",
    title="A package is missing from the image",
    why="""
The function imports a package that its image doesn't have: ModuleNotFoundError, minutes into the run. Modal imports
the whole script in each container, so a package that only the local part uses must be in the image too when it is
imported at the top.
""",
    instead="""
Add the package to the image, or import it where it is used: local-only packages under the main guard or in the local
entrypoint. With pytest-modal remove `packages=`: the packages are derived from the imports, in your versions.
""",
    bad="""
import modal
import pandas as pd

image = modal.Image.debian_slim().pip_install("torch")
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

@app.local_entrypoint()
def main():
    import pandas as pd

    print(pd.Series(evaluate.remote(["1 + 1 ="])).mean())
""",
    check=check,
)
