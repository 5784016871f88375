"""Collection: markers read, parameters requested, mistakes refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pytest_modal.declare.keywords import DeclarationError
from pytest_modal.declare.marker import MARKER, read_marker
from pytest_modal.declare.remote_function import any_remote_fixture, parameters_of
from pytest_modal.plan.selection import is_marked
from pytest_modal.wording import three_parts


def request_parameters(collector: pytest.Collector, obj: object) -> None:
    """Make pytest see what the marker's function takes: fixtures and parametrized values of the test."""
    marks = [mark for mark in _marks(obj) if mark.name == MARKER]
    if not marks or not inspect.isfunction(obj):
        return
    try:
        marker = read_marker([*reversed(marks), *collector.iter_markers(MARKER)], collector.nodeid)
    except DeclarationError:
        return  # `check_collected` reports it once the test is collected
    if marker.remote is None:
        return
    parametrized = {name for mark in [*_marks(obj), *collector.iter_markers()] for name in _argnames(mark)}
    wanted = [
        name
        for name, has_default in parameters_of(marker.remote.function).items()
        if name not in marker.args and (not has_default or name in parametrized)
    ]
    if wanted:
        pytest.mark.usefixtures(*wanted)(obj)


def check_collected(collector: pytest.Collector, report: pytest.CollectReport) -> None:
    """Mark the tests that use a remote fixture; turn mistakes into collection errors."""
    tests = [item for item in report.result if isinstance(item, pytest.Function)]
    errors = [error for item in tests if (error := _check_test(item))]
    errors += _marked_functions(collector, tests)
    if errors:
        report.outcome = "failed"
        report.longrepr = "\n\n".join(dict.fromkeys(errors))
        report.result = []


def _check_test(item: pytest.Function) -> str | None:
    marked = is_marked(item)
    if not marked and not any_remote_fixture():
        return None
    from pytest_modal.plan.remote_fixtures import marker_of, reaches_remote

    if not marked:
        if reaches_remote(item):
            item.add_marker(MARKER)
        return None
    try:
        marker = marker_of(item)
    except DeclarationError as error:
        return str(error)
    if marker.remote is None and not reaches_remote(item):
        return three_parts(
            f"{item.name} is marked modal_gpu, but it uses no remote fixture: nothing would run on a GPU",
            item.nodeid,
            "request a @pytest_modal.fixture, set function= on the marker, or remove the marker",
        )
    return None


def _marked_functions(collector: pytest.Collector, tests: list[pytest.Function]) -> list[str]:
    # pytest takes `@pytest.mark.modal_gpu(f)` for a decoration of f and then calls f(test): the test is gone.
    marked = {
        name: obj
        for name, obj in vars(getattr(collector, "obj", None) or object).items()
        if inspect.isfunction(obj) and any(mark.name == MARKER for mark in _marks(obj))
    }
    collected = {inspect.unwrap(item.function) for item in tests} if marked else set()
    return [
        three_parts(
            f"{name} is marked modal_gpu, but it is not a test: `@pytest.mark.modal_gpu({name})` marks {name} itself, "
            "and the test below it is not collected",
            f"{obj.__code__.co_filename}:{obj.__code__.co_firstlineno}",
            f"write @pytest.mark.modal_gpu(function={name})",
        )
        for name, obj in marked.items()
        if obj not in collected
    ]


def _marks(obj: Any) -> list[pytest.Mark]:
    marks: Any = getattr(obj, "pytestmark", ())
    if not marks:
        return []
    each = marks if isinstance(marks, list) else [marks]
    return [mark.mark if isinstance(mark, pytest.MarkDecorator) else mark for mark in each]


def _argnames(mark: pytest.Mark) -> list[str]:
    if mark.name != "parametrize":
        return []
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
