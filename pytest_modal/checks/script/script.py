"""A file as the rules see it: its apps, the functions that run on the GPU, and the helpers that those call."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pytest_modal.batch.calls import Part
from pytest_modal.checks.script.model_loads import fetched_by
from pytest_modal.checks.script.source import Source
from pytest_modal.checks.script.tree import FunctionNode, Scope, Tree, keyword, methods

APP_TYPES = {"modal.App", "modal.Stub", "modal.app.App"}
# Keywords that only Modal's decorators take: by them an app is recognized that another file defines.
MODAL_KEYWORDS = {"gpu", "image", "volumes", "secrets", "timeout", "max_containers", "mounts", "retries", "cpu"}
IMAGES = {"debian_slim", "micromamba", "conda", "from_registry", "from_dockerfile", "from_aws_ecr"}
UNWRITTEN = "**"  # key among settings: there are others, which the file does not write out


@dataclass(frozen=True)
class Body:
    """A function whose code runs on the GPU: a root, or a helper that it uses."""

    node: FunctionNode
    script: Script


@dataclass(frozen=True)
class Travelling:
    """One part of what a planned function needs, and where it is written, if it is.

    Attributes
    ----------
    node : AST or None
        Its statement; the import of a package.
    """

    part: Part
    script: Script | None
    node: ast.stmt | ast.alias | None


@dataclass(frozen=True)
class Planned:
    """What is known of a planned function beyond its source.

    Attributes
    ----------
    mounts : tuple of str
        Paths of its volumes.
    packages : tuple of str or None
        Requirements of its image, or None where they are derived.
    travels : tuple of Travelling
        What it needs, and how that travels.
    helpers : tuple of Body
        The functions among that.
    """

    mounts: tuple[str, ...] = ()
    packages: tuple[str, ...] | None = None
    local_packages: tuple[str, ...] = ()
    own_image: bool = False
    travels: tuple[Travelling, ...] = ()
    helpers: tuple[Body, ...] = ()


@dataclass(eq=False)
class GpuFunction:
    """A function, or a class, whose code runs in a container.

    Attributes
    ----------
    kind : str
        "modal" and "class" for ``@app.function`` and ``@app.cls``; "fixture", "container" and "marked" for
        what pytest-modal sends.
    settings : dict
        The keywords of its decorator.
    """

    name: str
    kind: Literal["modal", "class", "fixture", "container", "marked"]
    script: Script
    node: FunctionNode | ast.ClassDef
    settings: dict[str, ast.expr]
    app: str | None = None
    planned: Planned | None = None

    @property
    def is_sliced(self) -> bool:
        """Whether pytest-modal sends it: the statements of local modules that it needs come along."""
        return self.kind in ("fixture", "container", "marked")

    @property
    def by_value(self) -> bool:
        """Whether its file is not imported in the container: it is sent itself."""
        serialized = self.settings.get("serialized")
        return self.is_sliced or (isinstance(serialized, ast.Constant) and serialized.value is True)

    @property
    def roots(self) -> list[FunctionNode]:
        """The function, or the methods of the class."""
        return methods(self.node) if isinstance(self.node, ast.ClassDef) else [self.node]

    @functools.cached_property
    def bodies(self) -> list[Body]:
        """The roots and every helper: of a planned function those that travel, else those of its file by name."""
        found = {id(root): Body(root, self.script) for root in self.roots}
        if self.planned is not None:
            return list((found | {id(body.node): body for body in self.planned.helpers}).values())
        queue = list(found.values())
        while queue:
            body = queue.pop(0)
            for node, scope in body.script.walk(body.node):
                for helper in body.script.helpers_at(node, scope):
                    if id(helper) not in found:
                        found[id(helper)] = Body(helper, body.script)
                        queue.append(found[id(helper)])
        return list(found.values())

    @property
    def sources(self) -> list[Source]:
        """The files that findings about it may be in."""
        travels = self.planned.travels if self.planned is not None else ()
        scripts = [self.script, *(body.script for body in self.bodies), *(each.script for each in travels)]
        return [script.source for script in scripts if script is not None]

    @functools.cached_property
    def call_sites(self) -> dict[int, list[tuple[ast.Call, Scope, int]]]:
        """Calls of each helper by ``id`` of its definition, with the number of arguments that are bound already."""
        sites: dict[int, list[tuple[ast.Call, Scope, int]]] = {}
        for node, scope in self.nodes():
            if isinstance(node, ast.Call):
                helper, bound = scope.function(node.func), 0
                if helper is None and isinstance(node.func, ast.Attribute):
                    helper, bound = scope.tree.method_of_self(node.func, scope), 1
                if helper is not None:
                    sites.setdefault(id(helper), []).append((node, scope, bound))
        return sites

    def nodes(self) -> Iterator[tuple[ast.AST, Scope]]:
        """Yield all code that runs on the GPU, each node with its scope."""
        for body in self.bodies:
            yield from body.script.walk(body.node)


class Script(Tree):
    """One parsed file, and what of it runs on the GPU.

    Attributes
    ----------
    apps : dict
        The names bound to a ``modal.App`` in this file, with the call that makes it.
    functions : list of GpuFunction
        What runs on the GPU, in order.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        assignments: list[ast.Assign | ast.AnnAssign] = [*self.all(ast.Assign), *self.all(ast.AnnAssign)]
        self.apps: dict[str, ast.Call] = {
            name: node.value
            for node in assignments
            if isinstance(node.value, ast.Call) and (self.dotted(node.value.func) or "") in APP_TYPES
            for name in _names_bound(node)
        }
        self.functions = sorted(self._gpu_functions(), key=lambda function: function.node.lineno)
        self._remote_nodes = {function.node for function in self.functions}
        self._loads: dict[ast.stmt, str | None] = {}

    @functools.cached_property
    def builds_images(self) -> bool:
        """Whether the file defines an image."""
        return any(
            call.func.attr in IMAGES and (self.dotted(call.func) or "").startswith("modal.Image.")
            for call in self.all(ast.Call)
            if isinstance(call.func, ast.Attribute)
        )

    @functools.cached_property
    def heads(self) -> dict[int, FunctionNode | ast.ClassDef]:
        """The functions and classes by each line of their heads: decorators, and the line with the name."""
        return {
            line: node
            for node in (*self.definitions, *self.all(ast.ClassDef))
            for line in range(min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.lineno + 1)
        }

    def load_in(self, statement: ast.stmt) -> str | None:
        """Return the call in a top-level statement that loads a model or downloads."""
        if statement not in self._loads:
            self._loads[statement] = fetched_by(statement, self.module)
        return self._loads[statement]

    def helpers_at(self, node: ast.AST, scope: Scope) -> list[FunctionNode]:
        """Return the functions of this file that a name in GPU code leads to; other remote functions aren't."""
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return []
        where = scope.find(node.id)
        if where is None:
            return []
        helper: FunctionNode | ast.ClassDef | None = where.functions.get(node.id) or where.classes.get(node.id)
        if helper is None or (helper in self._remote_nodes and not self._called_here(node)):
            return []
        return methods(helper) if isinstance(helper, ast.ClassDef) else [helper]

    def is_app(self, expression: ast.expr) -> str | None:
        """Return the name of the app of this file that an expression is."""
        return expression.id if isinstance(expression, ast.Name) and expression.id in self.apps else None

    def _called_here(self, node: ast.Name) -> bool:
        parent = self.parents[node]
        return isinstance(parent, ast.Attribute) and parent.attr in ("local", "get_raw_f")

    def _gpu_functions(self) -> Iterator[GpuFunction]:
        found: set[ast.AST] = set()
        for node in [*self.definitions, *self.all(ast.ClassDef)]:
            for decorator in node.decorator_list:
                if node not in found and (function := self._decorated(node, decorator)):
                    found.add(node)
                    yield function
        for call in self.all(ast.Call):
            applied = self._applied(call) or self._marked(call)
            if applied is not None and applied.node not in found:
                found.add(applied.node)
                yield applied

    def _decorated(self, node: FunctionNode | ast.ClassDef, decorator: ast.expr) -> GpuFunction | None:
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call is not None else decorator
        if not isinstance(target, ast.Attribute | ast.Name):
            return None
        settings = self._settings(call) if call is not None else {}
        if isinstance(node, FunctionNode) and self.dotted(target) == "pytest_modal.fixture":
            scope = settings.get("scope")
            container = isinstance(scope, ast.Constant) and scope.value == "container"
            return GpuFunction(node.name, "container" if container else "fixture", self, node, settings)
        wanted = "cls" if isinstance(node, ast.ClassDef) else "function"
        if isinstance(target, ast.Attribute) and target.attr == wanted and self._may_be_app(target.value, settings):
            kind: Literal["modal", "class"] = "class" if wanted == "cls" else "modal"
            return GpuFunction(node.name, kind, self, node, settings, _name(target.value))
        return None

    def _settings(self, call: ast.Call) -> dict[str, ast.expr]:
        settings: dict[str, ast.expr] = {}
        for each in call.keywords:
            if each.arg:
                settings[each.arg] = each.value
                continue
            given = each.value
            if isinstance(given, ast.Name) and len(assigned := self.module.values.get(given.id, [])) == 1:
                given = assigned[0] or given
            if isinstance(given, ast.Dict) and all(isinstance(key, ast.Constant) for key in given.keys):
                pairs = zip(given.keys, given.values, strict=True)
                settings |= {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
            else:
                settings[UNWRITTEN] = each.value
        return settings

    def _may_be_app(self, expression: ast.expr, settings: Mapping[str, ast.expr]) -> bool:
        if self.is_app(expression):
            return True
        if not isinstance(expression, ast.Name):
            return False
        scope = self.module.find(expression.id)
        elsewhere = scope is None or expression.id in scope.imports
        return elsewhere and bool(MODAL_KEYWORDS & set(settings) or "modal" in self.module.imports)

    def _applied(self, call: ast.Call) -> GpuFunction | None:
        """Recognize ``app.function(...)(f)``."""
        inner = call.func
        if not (isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and call.args):
            return None
        node = self.scope_at(call).function(call.args[0])
        if node is None or inner.func.attr != "function" or not self.is_app(inner.func.value):
            return None
        settings = self._settings(inner)
        return GpuFunction(node.name, "modal", self, node, settings, _name(inner.func.value))

    def _marked(self, call: ast.Call) -> GpuFunction | None:
        """Recognize ``pytest.mark.modal_gpu(function=f)``."""
        given = keyword(call, "function")
        if given is None or self.dotted(call.func) != "pytest.mark.modal_gpu":
            return None
        node = self.module.function(given)
        if node is None:
            return None
        settings = self._settings(call)
        return GpuFunction(node.name, "marked", self, node, settings)


def _names_bound(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _name(expression: ast.expr) -> str | None:
    return expression.id if isinstance(expression, ast.Name) else None
