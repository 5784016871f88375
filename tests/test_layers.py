"""The house: which part may import which, what travels, who knows of pytest."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pytest_modal

PACKAGE = Path(pytest_modal.__file__).parent
# A part imports from itself and from lower floors: never beside, never up.
FLOORS = {
    "plugin": 9,
    "cli": 9,
    "records": 8,
    "gate": 7,
    "run": 6,
    "local": 6,
    "plan": 5,
    "declare": 4,
    "report": 4,
    "checks": 3,
    "store": 3,
    "code": 2,
    "batch": 1,
    "remote": 1,
    "committed": 1,
    "wording": 1,
    "_pytest_compat": 1,
}
KNOW_PYTEST = ("plugin", "records", "gate", "run", "local", "plan", "declare", "_pytest_compat")
KNOW_NOTHING_OF_PYTEST = ("gate/judge/", "run/modal/", "run/local.py")
KNOW_MODAL = ("run/modal/",)
# Their own floor within a part: they import nothing of the package but these.
CLOSED = {
    "gate/judge/": ("pytest_modal.gate.judge", "pytest_modal.wording", "pytest_modal.committed"),
    "remote/": ("pytest_modal.remote",),
}

MODULES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def dotted(path: str) -> str:
    return "pytest_modal." + path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports, anywhere in it: in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in NAMES else str(node.module)


NAMES = {dotted(path) for path in MODULES}
IMPORTS = {path: set(imported(tree)) for path, tree in MODULES.items()}


def own(path: str) -> Iterator[str]:
    return (name for name in IMPORTS[path] if name.partition(".")[0] == "pytest_modal")


def part(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def violations(path: str) -> list[str]:
    """Return the imports of a module that its floor does not allow."""
    here = part(dotted(path))
    found = []
    for name in own(path):
        there = part(name)
        if there != here and FLOORS[there] >= FLOORS[here]:
            found.append(f"{path} imports {name}: {here} stands on floor {FLOORS[here]}, {there} on {FLOORS[there]}")
    return found


@pytest.mark.parametrize("path", sorted(path for path in MODULES if path != "__init__.py"))
def test_a_module_imports_from_its_own_part_and_from_lower_floors(path: str) -> None:
    assert violations(path) == []


def test_an_import_that_points_up_is_seen() -> None:
    IMPORTS["batch/calls.py"].add("pytest_modal.run.runner")
    try:
        assert violations("batch/calls.py") != []
    finally:
        IMPORTS["batch/calls.py"].remove("pytest_modal.run.runner")


def test_there_is_no_circle() -> None:
    graph = {dotted(path): {name for name in own(path) if name != dotted(path)} for path in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_every_part_has_a_floor_and_the_top_level_is_small() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert entries - {"__init__"} == set(FLOORS)
    assert len(entries) <= 18


@pytest.mark.parametrize("closed", CLOSED)
def test_what_stands_by_itself_imports_nothing_else_of_the_package(closed: str) -> None:
    for path in MODULES:
        if path.startswith(closed):
            assert [name for name in own(path) if not name.startswith(CLOSED[closed])] == []


def test_what_travels_needs_the_standard_library_only() -> None:
    for path in MODULES:
        if path.startswith("remote/"):
            tops = {name.partition(".")[0] for name in IMPORTS[path]} - {"pytest_modal"}
            assert tops - set(sys.stdlib_module_names) == set(), path


def test_pytest_is_known_where_it_has_to_be_and_nowhere_else() -> None:
    for path in MODULES:
        allowed = part(dotted(path)) in KNOW_PYTEST and not path.startswith(KNOW_NOTHING_OF_PYTEST)
        if not allowed:
            assert {name for name in IMPORTS[path] if name.partition(".")[0] in ("pytest", "_pytest")} == set(), path


def test_private_names_of_pytest_stand_in_one_file() -> None:
    users = {path for path in MODULES if any(name.partition(".")[0] == "_pytest" for name in IMPORTS[path])}
    assert users == {"_pytest_compat.py"}


def test_modal_is_known_to_its_own_folder_only() -> None:
    users = {path for path in MODULES if any(name.partition(".")[0] == "modal" for name in IMPORTS[path])}
    assert {path for path in users if not path.startswith(KNOW_MODAL)} == set()


def test_no_private_name_crosses_a_file() -> None:
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pytest_modal"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert [name for name in private if name != "_pytest_compat"] == [], path


def test_packages_hold_their_docstring_only() -> None:
    for path, tree in MODULES.items():
        if path.endswith("/__init__.py") and path != "checks/rules/__init__.py":
            assert [type(node).__name__ for node in tree.body] == ["Expr"], path


@pytest.mark.parametrize("path", sorted(MODULES))
def test_a_module_is_short_and_says_what_it_is(path: str) -> None:
    text = (PACKAGE / path).read_text()
    assert text.count("\n") <= 400
    first = (ast.get_docstring(MODULES[path]) or "").partition("\n")[0]
    assert first.endswith(".")
    assert not first.startswith("What "), "a noun phrase says more"
