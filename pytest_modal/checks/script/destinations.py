"""Destinations of paths, as far as the code shows: a temporary directory, a mounted volume, or a place that is lost."""

from __future__ import annotations

import ast
import functools
import posixpath
from dataclasses import dataclass
from typing import Literal

from pytest_modal.checks.script.script import UNWRITTEN, GpuFunction
from pytest_modal.checks.script.tree import MAX_DEPTH, FunctionNode, Scope, argument, keyword, methods

TEMPORARY = ("/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run", "/__modal")
# Where programs are configured: nobody looks for results there.
SYSTEM = ("/bin", "/etc", "/lib", "/lib64", "/opt", "/sbin", "/usr", "/var")
MOUNTING = ("volumes", "network_file_systems", "shared_volumes", "cloud_bucket_mounts")
_SAME = {"str", "os.fspath", "os.path.abspath", "os.path.realpath", "os.path.expanduser", "os.path.normpath"}
_SAME_METHODS = {"resolve", "absolute", "expanduser", "as_posix", "with_suffix", "with_name", "rstrip", "strip"}
_PATHS = {"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath"}
_OPENERS = {"open", "io.open", "gzip.open", "bz2.open", "lzma.open", "codecs.open"}


@dataclass(frozen=True)
class Place:
    """Where a path leads.

    Attributes
    ----------
    kind : str
        "safe" for temporary directories and buffers, "text" for a path that starts with `text`,
        "parameter" for what the caller of the GPU function decides, "unknown".
    exact : bool
        Whether `text` is all of it.
    names : tuple
        The (scope, name) pairs that led here.
    is_path : bool
        Whether it is a path object, not only text.
    """

    kind: Literal["safe", "text", "parameter", "unknown"]
    text: str = ""
    exact: bool = False
    names: tuple[tuple[Scope, str], ...] = ()
    is_path: bool = False


UNKNOWN = Place("unknown")
SAFE = Place("safe")


@dataclass(frozen=True)
class Mounts:
    """The volumes of a function; `complete` when all of them are known."""

    paths: tuple[str, ...] = ()
    complete: bool = True

    @property
    def none(self) -> bool:
        """Whether there is certainly no volume."""
        return self.complete and not self.paths

    def cover(self, text: str, exact: bool = True) -> bool:
        """Whether a path may lie on a volume."""
        for path in self.paths:
            if text == path or text.startswith(path.rstrip("/") + "/"):
                return True
            if not exact and path.startswith(text):
                return True
        return False


class Places:
    """Follows the path expressions of one GPU function."""

    def __init__(self, function: GpuFunction) -> None:
        self._function = function
        self._roots = set(function.roots)

    @functools.cached_property
    def mounts(self) -> Mounts:
        """The volumes that the function has."""
        planned = self._function.planned
        if planned is not None:
            return Mounts(tuple(map(posixpath.normpath, planned.mounts)))
        paths: list[str] = []
        complete = UNWRITTEN not in self._function.settings
        script = self._function.script
        scope = script.module
        constructor = script.apps.get(self._function.app or "")
        of_app = {each.arg: each.value for each in constructor.keywords} if constructor is not None else {}
        for name in MOUNTING:
            for given in (self._function.settings.get(name), of_app.get(name)):
                if given is None:
                    continue
                keys = _keys(given, scope)
                complete &= keys is not None
                for key in keys or []:
                    place = self.of(key, scope)
                    complete &= place.kind == "text" and place.exact
                    if place.kind == "text":
                        paths.append(posixpath.normpath(place.text))
        return Mounts(tuple(paths), complete)

    @functools.cached_property
    def moves(self) -> bool:
        """Whether relative paths may lead elsewhere: the code or the image changes the working directory."""
        for node, scope in self._function.nodes():
            if isinstance(node, ast.Call):
                name = scope.dotted(node.func) or ""
                if name in ("os.chdir", "contextlib.chdir") or name.endswith(".chdir"):
                    return True
        return any(
            node.attr in ("workdir", "from_dockerfile", "dockerfile_commands")
            for node in self._function.script.all(ast.Attribute)
        )

    def is_lost(self, place: Place) -> bool:
        """Whether a file there is certainly lost with the container."""
        if place.kind == "parameter":
            return self.mounts.none
        if place.kind != "text" or not place.text or "://" in place.text:
            return False
        text = "/root" + place.text[1:] if place.text.startswith("~/") else place.text
        if text.startswith(("~", "$", "%")):
            return False
        if not text.startswith("/"):
            return not self.moves and ".cache" not in text
        text = posixpath.normpath(text) + ("/" if text.endswith("/") and len(text) > 1 else "")
        if any(text == root or text.startswith(root + "/") for root in (*TEMPORARY, *SYSTEM)) or "/.cache" in text:
            return False
        if not place.exact and any(root.startswith(text) for root in TEMPORARY):
            return False
        return self.mounts.complete and not self.mounts.cover(text, place.exact)

    def of(self, expression: ast.expr | None, scope: Scope, depth: int = 0) -> Place:
        """Return where an expression leads."""
        if expression is None or depth > MAX_DEPTH:
            return UNKNOWN
        match expression:
            case ast.Constant(value=str(text)):
                return Place("text", text, True)
            case ast.JoinedStr():
                return self._joined(expression, scope, depth)
            case ast.BinOp(op=ast.Div()):
                below = self._below([expression.left, expression.right], scope, depth)
                return Place(below.kind, below.text, below.exact, below.names, True)
            case ast.BinOp(op=ast.Add()):
                return _append(
                    self.of(expression.left, scope, depth + 1), self.of(expression.right, scope, depth + 1), ""
                )
            case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str(text))):
                return Place("text", text.partition("%")[0], False)
            case ast.IfExp():
                return self._either([expression.body, expression.orelse], scope, depth)
            case ast.BoolOp():
                return self._either(expression.values, scope, depth)
            case ast.NamedExpr() | ast.Await() | ast.Starred():
                return self.of(expression.value, scope, depth + 1)
            case ast.Name():
                return self._name(expression.id, scope, depth)
            case ast.Attribute():
                return self._attribute(expression, scope, depth)
            case ast.Call():
                return self._call(expression, scope, depth)
        return UNKNOWN

    def _joined(self, expression: ast.JoinedStr, scope: Scope, depth: int) -> Place:
        place = Place("text", "", True)
        for part in expression.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            place = _append(place, self.of(inner, scope, depth + 1), "")
        return place

    def _below(self, parts: list[ast.expr], scope: Scope, depth: int) -> Place:
        place = self.of(parts[0], scope, depth + 1)
        for part in parts[1:]:
            place = _append(place, self.of(part, scope, depth + 1), "/")
        return place

    def _either(self, choices: list[ast.expr], scope: Scope, depth: int) -> Place:
        return _agree([self.of(choice, scope, depth + 1) for choice in choices])

    def _name(self, name: str, scope: Scope, depth: int) -> Place:
        where = scope.find(name)
        if where is None or name in where.imports:
            return UNKNOWN
        place = UNKNOWN
        if name in where.values:
            place = _agree(
                [self.of(value, where, depth + 1) if value is not None else UNKNOWN for value in where.values[name]]
            )
        elif name in where.parameters:
            place = self._parameter(name, where, depth)
        return Place(place.kind, place.text, place.exact, ((where, name), *place.names), place.is_path)

    def _parameter(self, name: str, scope: Scope, depth: int) -> Place:
        node = scope.node
        if not isinstance(node, FunctionNode):
            return UNKNOWN
        sites = self._function.call_sites.get(id(node), [])
        if node in self._roots and not sites:
            default = self.of(scope.parameters[name], scope, depth + 1) if scope.parameters[name] is not None else None
            return SAFE if default is not None and not self.is_lost(default) else Place("parameter")
        given = []
        for call, outer, bound in sites:
            if depth > MAX_DEPTH or any(each.arg is None for each in call.keywords):
                return UNKNOWN
            names = [each.arg for each in [*node.args.posonlyargs, *node.args.args]]
            index = names.index(name) - bound if name in names else len(call.args)
            value = argument(call, index, name) if index >= 0 else keyword(call, name)
            given.append(
                self.of(value, outer, depth + 1)
                if value is not None
                else self.of(scope.parameters[name], scope, depth + 1)
            )
        return _agree(given)

    def _attribute(self, expression: ast.Attribute, scope: Scope, depth: int) -> Place:
        dotted = scope.dotted(expression)
        if dotted == "os.devnull":
            return SAFE
        if dotted in ("os.curdir", "sys.executable"):
            return UNKNOWN
        if expression.attr in ("parent", "name"):
            inner = self.of(expression.value, scope, depth + 1)
            return inner if inner.kind == "safe" else Place("unknown", names=inner.names)
        owner = scope.tree.class_at(scope)
        if owner is None or not isinstance(expression.value, ast.Name) or expression.value.id not in ("self", "cls"):
            return UNKNOWN
        given: list[Place] = []
        for method in methods(owner):
            for node, inside in scope.tree.walk(method):
                if isinstance(node, ast.Assign) and any(_is_self(target, expression.attr) for target in node.targets):
                    given.append(self.of(node.value, inside, depth + 1))
        for node in owner.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == expression.attr for target in targets):
                    given.append(self.of(node.value, scope.tree.module, depth + 1))
        return _agree(given)

    def _call(self, call: ast.Call, scope: Scope, depth: int) -> Place:
        name = scope.dotted(call.func) or ""
        if name.startswith("tempfile.") or name in ("io.BytesIO", "io.StringIO"):
            return SAFE
        if name in ("os.getcwd", "pathlib.Path.cwd"):
            return Place("text", ".", True, is_path=name != "os.getcwd")
        if name in ("os.path.join", "posixpath.join") or name in _PATHS:
            if not call.args or any(isinstance(each, ast.Starred) for each in call.args):
                return self.of(call.args[0], scope, depth + 1) if call.args else UNKNOWN
            place = self._below(call.args, scope, depth)
            return Place(place.kind, place.text, place.exact, place.names, name in _PATHS)
        if name in _SAME or name in _OPENERS:
            return self.of(argument(call, 0, "path"), scope, depth + 1)
        if isinstance(call.func, ast.Attribute):
            if call.func.attr in _SAME_METHODS:
                return self.of(call.func.value, scope, depth + 1)
            if call.func.attr == "joinpath":
                return self._below([call.func.value, *call.args], scope, depth)
            if call.func.attr == "format" and isinstance(call.func.value, ast.Constant):
                return Place("text", str(call.func.value.value).partition("{")[0], False)
        helper = scope.function(call.func)
        if helper is not None:
            returned = [
                (node.value, inside) for node, inside in scope.tree.walk(helper) if isinstance(node, ast.Return)
            ]
            return _agree([self.of(value, inside, depth + 1) for value, inside in returned])
        return UNKNOWN


def _append(base: Place, more: Place, separator: str) -> Place:
    names = (*base.names, *more.names)
    if base.kind == "text" and base.exact and not base.text:
        return Place(more.kind, more.text, more.exact, names, base.is_path)
    if more.kind == "text" and more.text.startswith("/") and separator:
        return Place("text", more.text, more.exact, names, base.is_path)
    if more.kind == "safe" and separator:
        return Place("unknown", names=names)
    if base.kind != "text" or not base.exact:
        return Place(base.kind, base.text, base.exact, names, base.is_path)
    text = base.text if not separator else base.text.rstrip("/") + "/"
    if more.kind != "text":
        return Place("text", text, False, names, base.is_path)
    return Place("text", text + more.text, more.exact, names, base.is_path)


def _agree(places: list[Place]) -> Place:
    if not places:
        return UNKNOWN
    names = tuple(dict.fromkeys(name for place in places for name in place.names))
    first = places[0]
    if any(place.kind != first.kind for place in places) or (
        first.kind == "text" and len({place.text for place in places}) > 1
    ):
        return Place("unknown", names=names)
    return Place(first.kind, first.text, first.exact, names, first.is_path)


def _keys(expression: ast.expr, scope: Scope, depth: int = 0) -> list[ast.expr] | None:
    """Return the keys of a dict that is written out, or None."""
    if isinstance(expression, ast.Dict):
        keys: list[ast.expr] = []
        for key, value in zip(expression.keys, expression.values, strict=True):
            inner = [key] if key is not None else _keys(value, scope, depth + 1)
            if inner is None:
                return None
            keys += inner
        return keys
    if isinstance(expression, ast.Name) and depth < MAX_DEPTH:
        where = scope.find(expression.id)
        assigned = where.values.get(expression.id, []) if where is not None else []
        if where is not None and len(assigned) == 1 and assigned[0] is not None:
            return _keys(assigned[0], where, depth + 1)
    return None


def _is_self(target: ast.expr, attribute: str) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == attribute
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )
