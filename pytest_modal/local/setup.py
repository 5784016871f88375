"""Failing a test at its setup or teardown for what failed in the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_modal.local.causes import fail_for
from pytest_modal.plan.state import plan_of, results_of

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome
    from pytest_modal.store.results import Results


def check_item(item: pytest.Item) -> None:
    """Fail a test at its setup if it could not be planned, or if a call that it needs has failed."""
    __tracebackhide__ = True
    plan = plan_of(item)
    if plan is None:
        return
    if plan.error is not None:
        pytest.fail(plan.error, pytrace=False)
    results = results_of(item.config)
    if results is None or not plan.calls:
        return
    outcomes = {outcome.key: outcome for key in plan.calls.values() for outcome in results.of(key)}
    for outcome in outcomes.values():
        label = "" if len(outcomes) == 1 else f" of {_label(results, outcome)}"
        for stream in ("stdout", "stderr"):
            if text := getattr(outcome, stream):
                item.add_report_section("setup", f"modal {stream}{label}", text)
    failed = [outcome for outcome in outcomes.values() if not outcome.ok]
    # What fell only because something else fell says nothing new, unless that is all there is.
    causes = [outcome for outcome in failed if outcome.status != "dependency failed"] or failed
    plan.infrastructure = bool(causes) and all(outcome.status == "infrastructure" for outcome in causes)
    if causes:
        fail_for(item, results, causes)


def fell_with_infrastructure(item: pytest.Item) -> bool:
    """Whether a test could not run for no fault of its own, nor of a GPU function's."""
    plan = plan_of(item)
    return plan is not None and plan.infrastructure


def teardown_errors(item: pytest.Item) -> list[str]:
    """Return what went wrong after the ``yield`` of container fixtures whose last user the test waited for."""
    plan, results = plan_of(item), results_of(item.config)
    if plan is None or results is None:
        return []
    from pytest_modal.report.failures import explain_teardown

    found = []
    for outcome in (outcome for key in plan.calls.values() for outcome in results.of(key)):
        # Once is enough, at the first test that used the call.
        found += [explain_teardown(results, outcome, error) for error in outcome.teardown_errors]
        outcome.teardown_errors = []
    return found


def _label(results: Results, outcome: Outcome) -> str:
    return next(call.label for call in results.batch.calls if call.key == outcome.key)
