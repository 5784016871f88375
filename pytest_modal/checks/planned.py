"""Checks of what is about to be sent: the source of the planned functions, with facts that only the run knows.

This is the only module of the checks that knows of the plan. It gets functions and data types, nothing of pytest.
"""

from __future__ import annotations

import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pytest_modal.batch.calls import Batch, Call, Container, Node
from pytest_modal.checks.engine import check_functions
from pytest_modal.checks.finding import Finding, Level
from pytest_modal.checks.rules.pm102_local_paths import existing_local_path
from pytest_modal.checks.rules.pm108_repeated_loads import finding as repeated_load
from pytest_modal.checks.rules.pm109_top_level_state import of_fixture
from pytest_modal.checks.script.model_loads import loads
from pytest_modal.checks.script.script import Body, GpuFunction, Planned, Script
from pytest_modal.checks.script.slices import bodies_of, located
from pytest_modal.checks.script.source import UnreadableError, parse, read_text
from pytest_modal.checks.script.state_settings import Setting, Used, settings_in
from pytest_modal.checks.script.tree import FunctionNode
from pytest_modal.code.places import is_local
from pytest_modal.wording import count, shown_path

MAX_TEXTS = 10_000  # strings of one argument that are looked at


def check_planned(
    batch: Batch,
    sent: Mapping[str, Sequence[tuple[str, str, object]]],
    autouse: Mapping[str, Sequence[Callable[..., object]]],
    rootdir: Path,
    levels: Mapping[str, Level],
) -> dict[str, list[Finding]]:
    """Check a batch.

    Parameters
    ----------
    batch : Batch
        What is about to be sent.
    sent : mapping
        For each test the local values that are sent: name of the function, parameter, value.
    autouse : mapping
        For each test the functions of the autouse fixtures that run for it on this machine.
    rootdir : Path
        Paths are shown relative to it.
    levels : mapping
        The level of each rule; those that are off find nothing.

    Returns
    -------
    dict
        Findings by node id of the tests concerned, in the order of the files.
    """
    checker = _Checker(rootdir)
    by_key = {call.key: call for call in batch.calls}
    found: dict[str, list[Finding]] = {}
    for call in batch.calls:
        nodes = _nodes_of(call, batch, by_key)
        about = [finding for node in nodes for finding in checker.of(node)]
        for nodeid in call.tests:
            values = [(node, *each) for node in nodes for each in sent.get(nodeid, ())]
            about += [
                finding
                for node, owner, name, value in values
                if node.function.name == owner
                for finding in checker.local_paths(node, name, value)
            ]
            found.setdefault(nodeid, []).extend([*about, *checker.settings(nodes, autouse.get(nodeid, ()))])
    checker.add_repeated_loads(batch, found)
    wanted = {
        nodeid: sorted({finding for finding in findings if levels[finding.code] != "off"})
        for nodeid, findings in found.items()
    }
    return {nodeid: findings for nodeid, findings in wanted.items() if findings}


def _nodes_of(call: Call, batch: Batch, by_key: Mapping[str, Call]) -> list[Node]:
    """Return a call with its container fixtures and the calls whose results it takes."""
    nodes: list[Node] = [*(batch.containers[key] for key in call.containers), call]
    needed = [by_key[key] for key in dict.fromkeys(batch.dependencies(call)) if key in by_key]
    return nodes + [node for other in needed for node in _nodes_of(other, batch, by_key)]


class _Checker:
    def __init__(self, rootdir: Path) -> None:
        self._rootdir = rootdir
        self._found: dict[tuple[str, str], list[Finding]] = {}
        self._planned: dict[tuple[str, str], GpuFunction | None] = {}
        self._scripts: dict[str, Script | None] = {}  # by the real path
        self._in_project: dict[str, Script | None] = {}  # by the path relative to the rootdir
        self._paths: dict[tuple[int, str, str], list[Finding]] = {}
        self._settings: dict[Callable[..., object], list[Setting]] = {}
        self._uses: dict[tuple[str, str, int | None], Used | None] = {}

    def of(self, node: Node) -> list[Finding]:
        """Return the findings about one function in its environment."""
        key = node.function.key, node.environment.key
        if key not in self._found:
            planned = self.planned(node)
            self._found[key] = check_functions(planned.script, [planned]) if planned is not None else []
        return self._found[key]

    def planned(self, node: Node) -> GpuFunction | None:
        """Return a function as the rules see it; None where its source can't be read."""
        key = node.function.key, node.environment.key
        if key not in self._planned:
            self._planned[key] = self._look_up(node)
        return self._planned[key]

    def _look_up(self, node: Node) -> GpuFunction | None:
        function = node.function.body
        body = self._body(function) if function is not None else None
        if body is None or function is None:
            return None
        kind: Literal["container", "fixture"] = "container" if isinstance(node, Container) else "fixture"
        planned_as = self._planned_as(node)
        declared = next((each for each in body.script.functions if each.node is body.node), None)
        if declared is not None:
            return replace(declared, kind=kind, name=node.function.name, planned=planned_as)
        return GpuFunction(node.function.name, kind, body.script, body.node, {}, planned=planned_as)

    def add_repeated_loads(self, batch: Batch, found: dict[str, list[Finding]]) -> None:
        """Find models that several calls of the batch load in their bodies."""
        users: dict[str, dict[str, list[Call]]] = {}
        shards = {part: key for key, parts in batch.shards.items() for part in parts}
        for call in batch.calls:
            planned = self.planned(call)
            for load in loads(planned.nodes()) if planned is not None else ():
                if load.model is not None:
                    users.setdefault(load.model, {}).setdefault(shards.get(call.key, call.key), []).append(call)
        for model, calls in users.items():
            if len(calls) < 2:
                continue
            for call in (each for same in calls.values() for each in same):
                planned = self.planned(call)
                assert planned is not None
                load = next(load for load in loads(planned.nodes()) if load.model == model)
                what = f"{planned.name} loads {model}, as {count(len(calls), 'call')} of this run do"
                finding = repeated_load(planned, load, what)
                if finding.code not in load.scope.tree.source.allowed(finding.line):
                    for nodeid in call.tests:
                        found.setdefault(nodeid, []).append(finding)

    def settings(self, nodes: Sequence[Node], fixtures: Sequence[Callable[..., object]]) -> Iterator[Finding]:
        """Find autouse fixtures that set on this machine what functions depend on."""
        for fixture in fixtures:
            made = self._settings_of(fixture)
            if made:
                used = [use for node in nodes if (use := self._use_of(node)) is not None]
                missed = [setting for setting in made if any(use.depends_on(setting) for use in used)]
                if missed and "PM109" not in missed[0].tree.source.allowed(missed[0].node.lineno):
                    yield of_fixture(getattr(fixture, "__name__", repr(fixture)), missed)

    def _settings_of(self, fixture: Callable[..., object]) -> list[Setting]:
        if fixture not in self._settings:
            body = self._local_body(fixture)
            self._settings[fixture] = settings_in(body, self._elsewhere) if body is not None else []
        return self._settings[fixture]

    def _elsewhere(self, name: str) -> Body | None:
        """Return the local function that a dotted name of another file means."""
        module, _, function = name.rpartition(".")
        found = vars(sys.modules[module]).get(function) if module in sys.modules else None
        return self._local_body(found) if isinstance(found, types.FunctionType) else None

    def _local_body(self, function: Callable[..., object]) -> Body | None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        return self._body(function) if code is not None and is_local(code.co_filename, self._rootdir) else None

    def _use_of(self, node: Node) -> Used | None:
        key = node.function.key, node.environment.key, node.environment.seed
        if key not in self._uses:
            planned = self.planned(node)
            seeded = node.environment.seed is not None
            self._uses[key] = Used.by(planned, seeded=seeded) if planned is not None else None
        return self._uses[key]

    def local_paths(self, node: Node, name: str, value: Any) -> list[Finding]:
        """Find strings in an argument that are paths of this machine."""
        key = id(value), node.function.key, name
        if key not in self._paths:
            self._paths[key] = list(self._look_for_paths(node, name, value))
        return self._paths[key]

    def _look_for_paths(self, node: Node, name: str, value: Any) -> Iterator[Finding]:
        planned = self.planned(node)
        if planned is None or planned.planned is None or not isinstance(planned.node, FunctionNode):
            return
        arguments = [*planned.node.args.args, *planned.node.args.kwonlyargs]
        parameter = next((each for each in arguments if each.arg == name), None)
        mounts = planned.planned.mounts
        text = next((text for text in _texts(value) if existing_local_path(text, mounts, Path.cwd())), None)
        if text is None or parameter is None or "PM102" in planned.script.source.allowed(parameter.lineno):
            return
        yield planned.script.find(
            "PM102",
            parameter,
            f"{planned.name} is sent {name}={text!r}, which is a file or directory here: a container has none of "
            "your files",
            "read the file in a local fixture and send its content",
        )

    def _planned_as(self, node: Node) -> Planned:
        environment = node.environment
        travels = tuple(located(node.function.travels, self._script_in_project))
        return Planned(
            mounts=tuple(path for path, _ in environment.volumes),
            packages=environment.packages,
            local_packages=environment.local_packages,
            own_image=environment.image is not None,
            travels=travels,
            helpers=tuple(bodies_of(travels)),
        )

    def _body(self, function: Callable[..., object]) -> Body | None:
        code = getattr(inspect.unwrap(function), "__code__", None)
        script = self._script(code.co_filename) if code is not None else None
        if code is None or script is None:
            return None
        for node in script.definitions:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                return Body(node, script)
        return None

    def _script_in_project(self, path: str) -> Script | None:
        if path not in self._in_project:
            self._in_project[path] = self._script(os.path.normpath(self._rootdir / path))
        return self._in_project[path]

    def _script(self, filename: str) -> Script | None:
        real = os.path.realpath(filename)
        if real not in self._scripts:
            path = Path(filename)
            try:
                self._scripts[real] = Script(parse(read_text(path), shown_path(path, self._rootdir), path))
            except (UnreadableError, RecursionError):
                self._scripts[real] = None
        return self._scripts[real]


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a value, the first `MAX_TEXTS` of them."""
    queue, seen = [value], 0
    while queue and seen < MAX_TEXTS:
        each = queue.pop()
        if isinstance(each, str):
            seen += 1
            yield each
        elif isinstance(each, Mapping):
            queue += each.values()
        elif isinstance(each, list | tuple):
            queue += each[:MAX_TEXTS]
