"""PM105: GPU functions that import local code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.image import image_of, local_module, own_package
from pytest_modal.checks.script.imports import Imported, needed_in_container
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.code.distributions import is_standard
from pytest_modal.remote.installed import canonical


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find imports of files beside the script that are not in the image."""
    if _changes_search_path(script):
        return
    seen: set[ast.AST] = set()
    for function in functions:
        if function.is_sliced:
            continue
        image = image_of(function)
        if image.any_source or image.search_path or not (image.complete or function.by_value):
            continue
        for imported in needed_in_container(function):
            given = imported.top in image.sources or canonical(imported.top) in image.packages
            if imported.node in seen or given:
                continue
            if _is_local(imported, function):
                seen.add(imported.node)
                yield _finding(imported, function)


def _is_local(imported: Imported, function: GpuFunction) -> bool:
    top, location = imported.top, imported.tree.source.location
    if not top and function.by_value:
        # Relative: what travels by value has no package around it.
        base = location.parent if location is not None else None
        return not imported.at_top or (base is not None and any(_is_module(base / name) for name in imported.names))
    if not top or is_standard(top) or top in ("modal", "pytest_modal", own_package(imported.tree)):
        return False
    found = local_module(top, imported.tree)
    if found is None or found == location:
        return False
    # By value, constants travel; functions and classes of another module are looked up there.
    constants = bool(imported.names) and all(name.isupper() for name in imported.names)
    return not (function.by_value and imported.at_top and constants)


def _is_module(path: Path) -> bool:
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()


def _changes_search_path(script: Script) -> bool:
    return any(
        node.attr == "path" and isinstance(node.value, ast.Name) and node.value.id == "sys"
        for node in script.all(ast.Attribute)
    )


def _finding(imported: Imported, function: GpuFunction) -> Finding:
    where = "the script imports" if imported.at_top and not function.by_value else f"{function.name} uses"
    package = imported.top or own_package(imported.tree) or "its package"
    return imported.tree.find(
        "PM105",
        imported.node,
        f"{where} the local module {imported.module}, which the container of {function.name} doesn't have: "
        "ModuleNotFoundError",
        f'add it to the image: .add_local_python_source("{package}")',
    )


RULE = Rule(
    code="PM105",
    level="error",
    title="A container doesn't have local code that the GPU needs",
    why="""
A container of a plain Modal script has the packages of its image and, of your files, the script alone. `import
helpers` works on your machine and raises ModuleNotFoundError in the container, after the image was built and a GPU was
assigned. `serialized=True` doesn't help: of an imported function only the name is sent.
""",
    instead="""
Add the module to the image: `.add_local_python_source("helpers")`. With pytest-modal you don't have to: the statements
of local modules that a function needs travel with it, however they are imported. Only a compiled module of the project
(`.so`, `.pyd`, `.pyc`) has no statements: it is refused when the batch is planned, unless it is shipped as it is, with
`local_packages=["helpers"]`.
""",
    bad="""
import modal

image = modal.Image.debian_slim().pip_install("torch")
app = modal.App("evaluation", image=image)

@app.function(gpu="T4")
def evaluate(problems):
    from helpers import solve

    return [solve(problem) for problem in problems]
""",
    good="""
import modal

image = modal.Image.debian_slim().pip_install("torch").add_local_python_source("helpers")
app = modal.App("evaluation", image=image)

@app.function(gpu="T4")
def evaluate(problems):
    from helpers import solve

    return [solve(problem) for problem in problems]
""",
    check=check,
)
