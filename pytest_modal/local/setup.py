"""Failing a test at its setup or teardown for what failed in the batch."""

from __future__ import annotations

import warnings

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.remote_function import remote_of
from pytest_modal.local.properties import call_properties, set_properties
from pytest_modal.local.python_warnings import issue_warnings
from pytest_modal.local.verdicts import decide, release
from pytest_modal.plan.failures import causes_of, is_of_service
from pytest_modal.plan.remote_fixtures import unknown_fixture_error
from pytest_modal.plan.selection import is_marked
from pytest_modal.plan.state import plan_of, results_of
from pytest_modal.wording import safe, safe_line, three_parts


def check_item(item: pytest.Item) -> None:
    """Fail a test at its setup if it could not be planned, or if a call that it needs has failed."""
    __tracebackhide__ = True
    release(item)
    plan = plan_of(item)
    if plan is None:
        return
    if plan.unknown is not None:
        raise unknown_fixture_error(item, plan.unknown)
    if plan.error is not None:
        pytest.fail(plan.error, pytrace=False)
    results = results_of(item.config)
    if results is None or not plan.calls:
        return
    outcomes = {outcome.key: outcome for key in plan.calls.values() for outcome in results.of(key)}
    for outcome in outcomes.values():
        label = "" if len(outcomes) == 1 else f" of {results.calls[outcome.key].label}"
        for stream in ("stdout", "stderr"):
            if text := getattr(outcome, stream):
                item.add_report_section("setup", f"modal {stream}{safe_line(label)}", safe(text))
    set_properties(item, call_properties(outcomes.values()))
    causes = causes_of(item, plan, results)
    plan.infrastructure = bool(causes) and all(map(is_of_service, causes))
    errors = [
        error
        for outcome in outcomes.values()
        if (error := issue_warnings(results, outcome, results.calls[outcome.key].label)) is not None
    ]
    if causes:
        decide(item, results, causes)
    if errors:
        pytest.fail("\n\n".join(errors), pytrace=False)


def check_container_fixtures(item: pytest.Item) -> None:
    """Fail a test that requested a container fixture past its plan: by ``request.getfixturevalue``."""
    __tracebackhide__ = True
    foreseen = getattr(item, "fixturenames", ())
    for name, definition in compat.active_fixtures(item).items():
        remote = remote_of(definition.func)
        if remote is not None and remote.in_container and name not in foreseen:
            what = f"the test requests the container fixture {name!r}, but its value never leaves the container"
            remedy = (
                f"write a @pytest_modal.fixture that requests {name!r} and returns data, and request that as a "
                "parameter of the test: request.getfixturevalue() runs after the batch was sent"
            )
            pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)


def skip_reason(item: pytest.Item, report: pytest.TestReport) -> str | None:
    """Return why a GPU test was skipped; None if it wasn't, or is skipped wherever it runs."""
    if not report.skipped or hasattr(report, "wasxfail") or not is_marked(item):
        return None
    if next(item.iter_markers("skip"), None) is not None or not isinstance(report.longrepr, tuple):
        return None
    return str(report.longrepr[2]).removeprefix("Skipped: ")


def fell_with_infrastructure(item: pytest.Item) -> bool:
    """Whether a test could not run because of the infrastructure alone."""
    plan = plan_of(item)
    return plan is not None and plan.infrastructure


def warn_of_teardowns(item: pytest.Item) -> None:
    """Warn of what went wrong after the ``yield`` of container fixtures, in the first test that used them.

    Where a filter makes the warning an error, it is one of the test's teardown.
    """
    __tracebackhide__ = True
    plan, results = plan_of(item), results_of(item.config)
    if plan is None or results is None or not results.run.teardowns:
        return
    from pytest_modal.report.failures import explain_teardown

    parts = {part for key in plan.calls.values() for part in results.batch.parts(key)}
    used = {key for part in parts for key in results.calls[part].containers}
    errors = []
    for number, teardown in enumerate(results.run.teardowns):
        key = teardown["container_key"]
        if key in used and results.is_first(f"teardown-{number}"):
            path, _, line = results.batch.containers[key].function.location.rpartition(":")
            message = pytest.PytestWarning(explain_teardown(results, teardown))
            try:
                warnings.warn_explicit(message, None, path, int(line) if line.isdecimal() else 1)
            except pytest.PytestWarning as raised:
                errors.append(str(raised))
    if errors:
        pytest.fail("\n\n".join(errors), pytrace=False)
