"""PM102: local paths sent to the GPU."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.destinations import SYSTEM, TEMPORARY, Place, Places
from pytest_modal.checks.script.remote_calls import remote_calls
from pytest_modal.checks.script.script import GpuFunction, Planned, Script
from pytest_modal.checks.script.tree import FunctionNode, Scope

DIRECTORY_NAMES = {
    "output_dir",
    "out_dir",
    "outdir",
    "output_directory",
    "output_folder",
    "save_dir",
    "results_dir",
    "result_dir",
    "figures_dir",
    "figure_dir",
    "plots_dir",
    "plot_dir",
}
ANYWHERE = (*TEMPORARY, *SYSTEM)  # found on every machine
_MAKING = {"str", "os.path.join", "os.path.abspath", "os.path.realpath", "os.path.dirname", "pathlib.Path"}
_HERE = {"os.getcwd", "pathlib.Path.home", "pathlib.Path.cwd", "os.path.expanduser"}


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find parameters that are meant for local directories, and local paths among the arguments."""
    for function in functions:
        yield from _parameters(function)
        if function.planned is not None:
            yield from _read_by_code(function, function.planned)
    if any(function.planned is not None for function in functions):
        return
    for call, function in remote_calls(script):
        scope, places = script.scope_at(call), Places(function)
        for value in [*call.args, *(each.value for each in call.keywords)]:
            if why := _local_path(value, scope, places):
                yield script.find(
                    "PM102",
                    value,
                    f"{why} is sent to the GPU function {function.name}: a container has none of your files",
                    "read the file here and send its content; a file that is needed there goes into the image "
                    "(add_local_file) or onto a Volume",
                )


def _parameters(function: GpuFunction) -> Iterator[Finding]:
    if not Places(function).mounts.none or function.kind == "container":
        return
    for root in function.roots:
        if function.kind == "class" and not _is_remote_method(root):
            continue
        arguments = [*root.args.posonlyargs, *root.args.args, *root.args.kwonlyargs]
        scope = function.script.scope_of(root)
        for each in arguments:
            if each.arg in DIRECTORY_NAMES and not _has_remote_default(each.arg, scope, function):
                yield function.script.find(
                    "PM102",
                    each,
                    f"the GPU function {function.name} takes {each.arg}, a directory of another machine: "
                    "what is written there is lost with the container",
                    "return the data, and use the directory where the result arrives",
                )


def _read_by_code(function: GpuFunction, planned: Planned) -> Iterator[Finding]:
    """Find code that reads files of this machine, by a constant or beside its own file."""
    for each in planned.travels:
        if each.part.reads is None or each.script is None or each.node is None:
            continue
        name, path = each.part.reads
        if existing_local_path(path, planned.mounts, Path.cwd()):
            where = "files beside its own" if name == "__file__" else f"{name}, which is a path of this machine"
            yield each.script.find(
                "PM102",
                each.node,
                f"{each.part.name.rpartition('.')[2]} reads {where}: the container of {function.name} has none of your "
                "files",
                "read the file at the top of the module, so that its content travels, or in a local fixture",
            )


def _is_remote_method(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Attribute | ast.Name)
        and (part.attr if isinstance(part, ast.Attribute) else part.id) == "method"
        for decorator in getattr(node, "decorator_list", [])
        for part in ast.walk(decorator)
    )


def _has_remote_default(name: str, scope: Scope, function: GpuFunction) -> bool:
    default = scope.parameters[name]
    if default is None:
        return False
    place = Places(function).of(default, scope)
    return place.kind == "text" and place.text.startswith("/")


def _local_path(value: ast.expr, scope: Scope, places: Places) -> str | None:
    """Return why a value is a local path, if it is one."""
    place = places.of(value, scope)
    shown = ast.unparse(value)
    if place.is_path and place.kind != "safe" and not _may_be_remote(place, places):
        return f"the path {shown}"
    if _path_inside(value, scope):
        return f"the local path {shown}"
    if places.mounts.none and (_is_path_parameter(value, scope) or _lists_paths(value)):
        return f"the path {shown}" if isinstance(value, ast.Name) else f"each path of {shown}"
    if place.kind == "text" and place.exact and not _may_be_remote(place, places) and _exists(place.text, scope):
        return f"{shown}, which is a file or directory here,"
    return None


def _may_be_remote(place: Place, places: Places) -> bool:
    if place.kind != "text":
        return not places.mounts.none
    under_system = any(place.text == root or place.text.startswith(root + "/") for root in ANYWHERE)
    # A relative path may be meant below a mount.
    elsewhere = not Path(place.text).exists() if place.text.startswith("/") else not places.mounts.none
    return under_system or elsewhere or not places.mounts.complete or places.mounts.cover(place.text, place.exact)


def _path_inside(value: ast.expr, scope: Scope) -> bool:
    """Whether a value is made from a path of this machine: of the file, the working directory or the home."""
    follow: ast.expr | None = value
    for _ in range(8):
        match follow:
            case ast.Name(id="__file__"):
                return True
            case ast.Name():
                where = scope.find(follow.id)
                assigned = where.values.get(follow.id, []) if where is not None else []
                follow = assigned[0] if len(assigned) == 1 else None
            case ast.Call(func=function):
                name = scope.dotted(function) or ""
                if name in _HERE:
                    return True
                if name in _MAKING:
                    follow = follow.args[0] if follow.args else None
                elif isinstance(function, ast.Attribute) and function.attr in ("resolve", "absolute", "as_posix"):
                    follow = function.value
                else:
                    return False
            case ast.BinOp(op=ast.Div()):
                follow = follow.left
            case ast.Attribute(attr="parent"):
                follow = follow.value
            case _:
                return False
    return False


def _is_path_parameter(value: ast.expr, scope: Scope) -> bool:
    """Whether a value is a parameter of local code that is annotated as a path."""
    where = scope.find(value.id) if isinstance(value, ast.Name) else None
    if where is None or not isinstance(value, ast.Name) or not isinstance(where.node, FunctionNode):
        return False
    arguments = [*where.node.args.posonlyargs, *where.node.args.args, *where.node.args.kwonlyargs]
    return value.id not in where.values and any(
        each.arg == value.id and each.annotation is not None and scope.dotted(each.annotation) == "pathlib.Path"
        for each in arguments
    )


def _lists_paths(value: ast.expr) -> bool:
    """Whether a value is the listing of a directory."""
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("list", "sorted"):
        if not value.args:
            return False
        value = value.args[0]
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in ("glob", "rglob", "iterdir")
    )


def _exists(text: str, scope: Scope) -> bool:
    if "/" not in text.strip("/") or "\n" in text or len(text) > 1000 or "://" in text:
        return False
    location = scope.tree.source.location
    bases = [Path()] + ([location.parent] if location is not None else [])
    return any((base / text).exists() for base in bases)


def existing_local_path(text: str, mounts: tuple[str, ...], base: Path) -> bool:
    """Whether a string that is about to be sent names a file or directory of this machine."""
    if "/" not in text.strip("/") or len(text) > 1000 or "\n" in text or "\0" in text or "://" in text:
        return False
    if any(text == root or text.startswith(root.rstrip("/") + "/") for root in (*ANYWHERE, *mounts)):
        return text.startswith("/tmp/") and (base / text).exists()
    try:
        return (base / text).exists()
    except OSError:
        return False


RULE = Rule(
    code="PM102",
    level="error",
    title="A local path is sent to the GPU",
    why="""
A path names a place on one machine. In the container `output_dir` doesn't exist: opening a file there fails after the
model was loaded, or the directory is created there and deleted with the container.
""",
    instead="""
Send the content of the file, not its name: read it locally and pass the content. Keep `output_dir` on the local side
and write there what the function returns. Paths on a mounted Volume are fine, and so are files that the image has
(`add_local_file`).
""",
    bad="""
import os
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems, output_dir):
    return os.path.join(output_dir, str(len(problems)))
""",
    good="""
from pathlib import Path
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [len(problem) for problem in problems]

@app.local_entrypoint()
def main(output_dir: str = "results"):
    problems = Path("problems.txt").read_text().splitlines()
    Path(output_dir, "lengths.txt").write_text(str(evaluate.remote(problems)))
""",
    check=check,
)
