"""Collection: parameters requested, tests marked, mistakes with markers reported."""

from __future__ import annotations

import inspect

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.keywords import DeclarationError
from pytest_modal.declare.marker import MARKER, read_marker
from pytest_modal.declare.remote_function import any_remote_fixture, parameters_of
from pytest_modal.plan.marks import argnames_of, marks_of
from pytest_modal.plan.remote_fixtures import reaches_remote
from pytest_modal.plan.selection import is_marked
from pytest_modal.plan.vanished import vanished_tests


def request_parameters(collector: pytest.Collector, obj: object) -> None:
    """Make pytest see what the marker's function takes: fixtures and parametrized values of the test."""
    marks = [mark for mark in marks_of(obj) if mark.name == MARKER]
    if not marks or not inspect.isfunction(obj):
        return
    try:
        marker = read_marker([*marks, *collector.iter_markers(MARKER)], collector.nodeid)
    except DeclarationError:
        return  # an error of the test, once it is planned
    if marker.remote is None:
        return
    parametrizations = [mark for mark in [*marks_of(obj), *collector.iter_markers()] if mark.name == "parametrize"]
    parametrized = {name for mark in parametrizations for name in argnames_of(mark)}
    wanted = [
        name
        for name, has_default in parameters_of(marker.remote.function).items()
        if name not in marker.args and (not has_default or name in parametrized)
    ]
    if wanted:
        pytest.mark.usefixtures(*wanted)(obj)


def check_collected(collector: pytest.Collector, report: pytest.CollectReport) -> None:
    """Mark the tests that use a remote fixture; report tests that their marker keeps from being collected."""
    if any_remote_fixture():
        for item in report.result:
            if isinstance(item, pytest.Function) and not is_marked(item) and reaches_remote(item):
                item.add_marker(MARKER)
    if isinstance(collector, pytest.Module) and not compat.collects_doctests(collector) and report.passed:
        errors = vanished_tests(collector.obj, collector.path, collector.config.rootpath)
        if errors:
            report.outcome = "failed"
            report.longrepr = "\n\n".join(errors)
            report.result = []
