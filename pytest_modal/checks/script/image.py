"""Contents of an image, as far as its definition shows."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from pytest_modal.checks.script.script import UNWRITTEN, GpuFunction, Planned, Script
from pytest_modal.checks.script.tree import MAX_DEPTH, Scope, Tree, argument, keyword, text_of
from pytest_modal.code.distributions import distribution_of

INSTALLERS = {"pip_install", "uv_pip_install", "pip_install_private_repos"}
# Steps that install no Python package that a script could import.
HARMLESS = {
    "apt_install",
    "env",
    "entrypoint",
    "cmd",
    "shell",
    "pip_install",
    "uv_pip_install",
    "imports",
    "run_function",
}
_PIP = re.compile(r"(?:^|&&|;|\|\|)\s*(?:\S+\s+-m\s+)?(?:uv\s+)?pip3?\s+install\s+([^&;|]+)")
_FILES = {"add_local_dir", "copy_local_dir", "add_local_file", "copy_local_file", "copy_mount"}


@dataclass
class Image:
    """The packages of an image.

    Attributes
    ----------
    packages : dict
        For each distribution the expression that names it; None where only the run knows it.
    complete : bool
        Whether the image has nothing else but what these install.
    sources : set of str
        Local modules that were added.
    any_source : bool
        Whether local directories were added, which can hold any module.
    """

    packages: dict[str, ast.expr | None] = field(default_factory=dict)
    complete: bool = True
    sources: set[str] = field(default_factory=set)
    any_source: bool = False
    search_path: bool = False


def image_of(function: GpuFunction) -> Image:
    """Return the image of a function: its own, its app's, or Modal's default."""
    script = function.script
    given = function.settings.get("image")
    if function.by_value:
        return _by_value(function)
    if given is None:
        if function.app is None or function.app not in script.apps:
            return Image(complete=False)
        constructor = script.apps[function.app]
        given = keyword(constructor, "image") or _assigned_image(script, function.app)
    # In a file that builds images, a function without one is a mistake; in others it is only a sketch.
    image = Image(complete=UNWRITTEN not in function.settings and (given is not None or script.builds_images))
    if given is not None:
        _read(given, script.module, image, None, 0)
    mounts = [function.settings.get(name) for name in ("mounts", "mount")]
    if any(mounts) or _has_keyword(script, function.app, "mounts"):
        image.any_source = True
    return image


def _by_value(function: GpuFunction) -> Image:
    image, module = Image(), function.script.module
    if function.kind == "modal":
        if "image" in function.settings:
            _read(function.settings["image"], module, image, None, 0)
        else:
            image.complete = False
        return image
    packages, local = function.settings.get("packages"), function.settings.get("local_packages")
    image.complete = (
        UNWRITTEN not in function.settings
        and packages is not None
        and "image" not in function.settings
        and _install(packages, module, image)
    )
    if isinstance(local, ast.List | ast.Tuple):
        image.sources = {text for each in local.elts if (text := text_of(each, module))}
    elif local is not None:
        image.any_source = True
    if function.planned is not None:
        _correct(image, function.planned)
    return image


def _correct(image: Image, planned: Planned) -> None:
    """Replace what the decorator declares by what is really sent."""
    named = [distribution_of(each) for each in planned.packages or ()]
    written = image.packages
    image.packages = {name: written.get(name) for name in named if name is not None}
    image.complete = planned.packages is not None and None not in named and not planned.own_image
    image.sources, image.any_source = {name.partition(".")[0] for name in planned.local_packages}, False


def _read(expression: ast.expr | None, scope: Scope, image: Image, before: tuple[str, int] | None, depth: int) -> None:
    """Add what an image expression contains; `before` bounds the assignments of the name that is being read."""
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute) and depth <= 4 * MAX_DEPTH:
        step = expression.func.attr
        dotted = scope.dotted(expression.func) or ""
        if dotted.startswith("modal."):
            _base(expression, step, scope, image)
        else:
            _step(expression, step, scope, image)
            _read(expression.func.value, scope, image, before, depth + 1)
    elif isinstance(expression, ast.Name) and depth <= 4 * MAX_DEPTH:
        where = scope.find(expression.id)
        assigned = where.values.get(expression.id, []) if where is not None else []
        last = before[1] if before is not None and before[0] == expression.id else len(assigned)
        if where is None or not 0 < last <= len(assigned):
            image.complete = False
        else:
            _read(assigned[last - 1], where, image, (expression.id, last - 1), depth + 1)
    elif isinstance(expression, ast.Call) and (helper := scope.function(expression.func)) and depth <= 4 * MAX_DEPTH:
        returned = [(node.value, inner) for node, inner in scope.tree.walk(helper) if isinstance(node, ast.Return)]
        if len(returned) != 1 or helper.args.args or helper.args.kwonlyargs:
            image.complete = False
        for value, inner in returned[:1]:
            _read(value, inner, image, None, depth + 1)
    else:
        image.complete = False


def _base(call: ast.Call, step: str, scope: Scope, image: Image) -> None:
    if step in ("debian_slim", "conda", "micromamba"):
        return
    registry = text_of(argument(call, 0, "tag"), scope) or ""
    clean = registry.startswith(("nvidia/cuda:", "debian:", "ubuntu:", "python:", "nvcr.io/nvidia/cuda:"))
    if step != "from_registry" or not clean:
        image.complete = False


def _step(call: ast.Call, step: str, scope: Scope, image: Image) -> None:
    if step in INSTALLERS:
        for each in call.args:
            image.complete &= _install(each, scope, image)
        image.complete &= keyword(call, "requirements") is None
    elif step == "run_commands":
        for each in call.args:
            image.complete &= _command(each, scope, image)
    elif step in ("add_local_python_source", "add_local_python_packages"):
        names = [text_of(each, scope) for each in call.args]
        image.sources |= {name.partition(".")[0] for name in names if name}
        image.any_source |= None in names
    elif step in _FILES:
        image.any_source = True
    elif step == "env":
        image.search_path |= any(
            isinstance(part, ast.Constant) and part.value == "PYTHONPATH" for part in ast.walk(call)
        )
    elif step == "workdir":
        image.search_path = True
    elif step not in HARMLESS:
        image.complete = False


def _install(expression: ast.expr, scope: Scope, image: Image) -> bool:
    if isinstance(expression, ast.Starred):
        return _install(expression.value, scope, image)
    if isinstance(expression, ast.List | ast.Tuple):
        understood = [_install(each, scope, image) for each in expression.elts]
        return all(understood)
    if isinstance(expression, ast.Name):
        where = scope.find(expression.id)
        assigned = where.values.get(expression.id, []) if where is not None else []
        if where is None or len(assigned) != 1 or assigned[0] is None:
            return False
        return _install(assigned[0], where, image)
    return _add(expression, scope, image)


def _add(expression: ast.expr, scope: Scope, image: Image) -> bool:
    text = text_of(expression, scope)
    if text is None and isinstance(expression, ast.JoinedStr) and isinstance(expression.values[0], ast.Constant):
        text = str(expression.values[0].value)
        if not re.search(r"[=<>\[~!]", text):
            return False
    if text is None:
        return False
    name = distribution_of(text)
    if name is not None:
        image.packages.setdefault(name, expression)
    return name is not None


def _command(expression: ast.expr, scope: Scope, image: Image) -> bool:
    if isinstance(expression, ast.List | ast.Tuple):
        done = [_command(each, scope, image) for each in expression.elts]
        return all(done)
    text = text_of(expression, scope)
    if text is None:
        return False
    image.any_source |= "clone" in text or "PYTHONPATH" in text
    understood = True
    for installed in _PIP.findall(text):
        try:
            words = shlex.split(installed)
        except ValueError:
            return False
        plain = [word for word in words if not word.startswith("-")]
        if len(plain) < len(words):
            # Options may take values, name files, or make it editable.
            understood = False
        for word in plain:
            name = distribution_of(word)
            understood &= name is not None
            if name is not None:
                image.packages.setdefault(name, expression)
    return understood and not ("install" in text and not _PIP.search(text) and "apt" not in text)


def _assigned_image(script: Script, app: str) -> ast.expr | None:
    """Return what ``app.image = ...`` assigns."""
    for node in script.source.tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr == "image" and script.is_app(target.value) == app:
                    return node.value
    return None


def _has_keyword(script: Script, app: str | None, name: str) -> bool:
    return app in script.apps and any(each.arg == name for each in script.apps[app].keywords)


def local_module(name: str, tree: Tree) -> Path | None:
    """Return the file or directory beside a script that holds a module of that name."""
    if name not in tree.local_modules:
        tree.local_modules[name] = _find_module(name, tree.source.location)
    return tree.local_modules[name]


def _find_module(name: str, location: Path | None) -> Path | None:
    if location is None or not name:
        return None
    for base in (location.parent, *_project_roots(location.parent)):
        file, directory = base / f"{name}.py", base / name
        if file.is_file():
            return file
        if directory.is_dir() and any(directory.glob("*.py")):
            return directory
    return None


@functools.lru_cache(maxsize=64)
def _project_roots(directory: Path) -> list[Path]:
    """Return the directories above that Python may be started in, up to the project's own."""
    roots: list[Path] = []
    for above in [directory, *directory.parents][:6]:
        if any((above / marker).exists() for marker in (".git", "pyproject.toml", "setup.py")):
            roots += [above, above / "src"]
            break
    return roots


def own_package(tree: Tree) -> str | None:
    """Return the package that a file belongs to: Modal includes its source by itself."""
    location = tree.source.location
    if location is None or not (location.parent / "__init__.py").exists():
        return None
    top = location.parent
    while (top.parent / "__init__.py").exists():
        top = top.parent
    return top.name
