"""Uses of a path after it was written: a file that the function itself reads again is not lost."""

from __future__ import annotations

import ast
import fnmatch

from pytest_modal.checks.script.script import GpuFunction
from pytest_modal.checks.script.tree import FunctionNode, Scope
from pytest_modal.checks.script.writes import Write

# Functions and methods that use a path without reading the file.
NEUTRAL = {"print", "str", "repr", "len", "isinstance", "os.path.exists", "os.path.getsize", "os.path.isfile"}
LOGGING = {"info", "debug", "warning", "error", "log"}
NEUTRAL_METHODS = {*LOGGING, "exists", "stat", "is_file", "is_dir", "append", "format"}
PATH_MAKING = {"join", "Path", "PurePath", "joinpath", "abspath", "realpath", "with_suffix", "resolve", "makedirs"}
RUNNERS = {"subprocess", "os.system", "os.exec", "importlib", "runpy", "exec", "asyncio.create_subprocess"}
# Written in order to be run or read by another program.
CODE = (".py", ".cu", ".cuh", ".cpp", ".cc", ".c", ".h", ".sh", ".toml", ".cfg", ".ini", ".conf", ".yaml", ".yml")


Key = tuple[Scope, str] | str  # a variable, or the text of a constant


class Uses:
    """Looks up how the paths of one GPU function are used.

    Parameters
    ----------
    writes : list of Write
        All that it writes.
    """

    def __init__(self, function: GpuFunction, writes: list[Write]) -> None:
        self._writes = {write.node for write in writes}
        self._roots = set(function.roots)
        self._used: set[Key] = set()
        self._passed: dict[Key, set[Key]] = {}  # to parameters of helpers
        self._attributes: set[str] = set()
        self.runs_programs = False
        for node, scope in function.nodes():
            self._look(node, scope)

    def consumed(self, write: Write) -> bool:
        """Whether something else in the function takes the path that was written."""
        place = write.place
        if isinstance(write.target, ast.Attribute) and write.target.attr in self._attributes:
            return True
        if self.runs_programs and place.text.endswith(CODE):
            return True
        text = place.text.rstrip("/")
        named = (key for key in {*self._used, *self._passed} if isinstance(key, str))
        keys: list[Key] = [key for key in named if _means(key, text)]
        return any(self._is_used(key, set()) for key in [*place.names, *(keys if len(text) > 2 else [])])

    def _is_used(self, key: Key, seen: set[Key]) -> bool:
        if key in self._used or key in seen:
            return key in self._used
        seen.add(key)
        return any(self._is_used(parameter, seen) for parameter in self._passed.get(key, ()))

    def _look(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Call):
            name = scope.dotted(node.func) or ""
            self.runs_programs |= any(name == runner or name.startswith(runner) for runner in RUNNERS)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_docstring = isinstance(scope.tree.parents[node], ast.Expr)
            if not is_docstring and not self._is_neutral(node, scope, node.value):
                self._used.add(node.value)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            where = scope.find(node.id)
            if where is not None and not self._is_neutral(node, scope, (where, node.id)):
                self._used.add((where, node.id))
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and not self._is_neutral(node, scope, node.attr)
        ):
            self._attributes.add(node.attr)

    def _is_neutral(self, node: ast.AST, scope: Scope, key: Key) -> bool:
        """Whether a mention of a path only writes there, prints it, returns it, or derives another path from it."""
        parents = scope.tree.parents
        child, parent = node, parents.get(node)
        gathered = False  # in a command line, as a list or as a sentence
        while parent is not None:
            if isinstance(parent, ast.Return):
                # The caller of the GPU function can't use a path of the container; the caller of a helper can.
                return self._is_in_root(parent, scope)
            if isinstance(parent, ast.Raise | ast.Assert | ast.Compare | ast.Dict | ast.Subscript):
                return True
            if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.arguments):
                return not gathered
            if isinstance(parent, ast.List | ast.Tuple | ast.Set):
                gathered = True
            elif isinstance(parent, ast.JoinedStr):
                gathered |= any(isinstance(part, ast.Constant) and " " in str(part.value) for part in parent.values)
            elif isinstance(parent, ast.Call):
                verdict = self._in_call(parent, child, scope, key)
                if verdict is not None:
                    return verdict
            elif isinstance(parent, ast.stmt | ast.comprehension | ast.withitem):
                return False
            child, parent = parent, parents.get(parent)
        return False

    def _is_in_root(self, node: ast.AST, scope: Scope) -> bool:
        while not isinstance(node, FunctionNode):
            node = scope.tree.parents[node]
        return node in self._roots

    def _in_call(self, call: ast.Call, child: ast.AST, scope: Scope, key: Key) -> bool | None:
        if call in self._writes:
            return True
        if child is call.func:
            # A method of the path, or of what is made from it.
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if method in PATH_MAKING:
                return None
            return method in NEUTRAL_METHODS | {"mkdir"}
        name = scope.dotted(call.func) or (call.func.attr if isinstance(call.func, ast.Attribute) else "")
        last = name.rpartition(".")[2]
        if name in NEUTRAL or last in NEUTRAL_METHODS:
            return True
        if last in PATH_MAKING or name in ("str", "os.fspath"):
            return None
        parameter = _parameter(call, child, scope)
        if parameter is None:
            return False
        # What a helper of this file does with the path is seen in its own body.
        self._passed.setdefault(key, set()).add(parameter)
        return True


def _means(mention: str, path: str) -> bool:
    """Whether a text refers to a path: by its name, by a directory above it, or by a pattern."""
    if path in mention or (path.startswith(mention.rstrip("/") + "/") and len(mention) > 2):
        return True
    return "*" in mention and fnmatch.fnmatch(path.rpartition("/")[2], mention.rpartition("/")[2])


def _parameter(call: ast.Call, child: ast.AST, scope: Scope) -> tuple[Scope, str] | None:
    """Return the parameter of a helper of this file that an argument is passed to."""
    helper, bound = scope.function(call.func), 0
    if helper is None and isinstance(call.func, ast.Attribute):
        helper, bound = scope.tree.method_of_self(call.func, scope), 1
    if helper is None:
        return None
    names = [each.arg for each in [*helper.args.posonlyargs, *helper.args.args]][bound:]
    known = {*names, *(each.arg for each in helper.args.kwonlyargs)}
    inner = scope.tree.scope_of(helper)
    if isinstance(child, ast.keyword):
        return (inner, child.arg) if child.arg in known else None
    for index, given in enumerate(call.args):
        if given is child and index < len(names) and not isinstance(given, ast.Starred):
            return inner, names[index]
    return None
