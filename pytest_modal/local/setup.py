"""Failing a test at its setup or teardown for what failed in the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_modal._pytest_compat import Failed, skip_at_item
from pytest_modal.plan.failures import causes_of, verdict_of
from pytest_modal.plan.state import plan_of, results_of
from pytest_modal.wording import safe

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome
    from pytest_modal.store.results import Results


def check_item(item: pytest.Item) -> None:
    """Fail a test at its setup if it could not be planned, or if a call that it needs has failed."""
    __tracebackhide__ = True
    release(item)
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
    causes = causes_of(item, plan, results)
    plan.infrastructure = bool(causes) and all(outcome.status == "infrastructure" for outcome in causes)
    if causes:
        _decide(item, results, causes)


def _decide(item: pytest.Item, results: Results, causes: list[Outcome]) -> None:
    """End the setup of a test as the failed calls that it needs say: the worst of them counts."""
    __tracebackhide__ = True
    from pytest_modal.report.failures import explain, explain_assertion

    verdicts = {outcome.key: verdict_of(outcome) for outcome in causes}
    told = [
        explain_assertion(results, outcome) if verdicts[outcome.key] == "failed" else explain(results, outcome)
        for outcome in causes
        if verdicts[outcome.key] in ("error", "failed")
    ]
    if "error" in verdicts.values():
        pytest.fail("\n\n".join(told), pytrace=False)
    if told:
        hold(item, GpuAssertionError("\n\n".join(told), pytrace=False))
        return
    reasons = {verdict: _reason(causes, verdicts, verdict) for verdict in verdicts.values()}
    if "xfailed" in reasons:
        pytest.xfail(reasons["xfailed"])
    skip_at_item(reasons["skipped"])


def _reason(causes: list[Outcome], verdicts: Mapping[str, str], verdict: str) -> str:
    said = [safe((each.error or {}).get("message", "")) for each in causes if verdicts[each.key] == verdict]
    return "; ".join(dict.fromkeys(said))


class GpuAssertionError(Failed, AssertionError):
    """An assertion failed in a GPU function: the tests that need its result fail, as if it had failed in them."""

    # Reports name an exception by these: it is one of pytest's.
    __module__, __qualname__ = Failed.__module__, Failed.__qualname__


HELD = pytest.StashKey[GpuAssertionError]()


def hold(item: pytest.Item, failure: GpuAssertionError) -> None:
    """Keep a failure until the test is called: raised at setup it would be an error.

    The test's own fixtures are not set up meanwhile: they would get a result that is not there.
    """
    item.stash[HELD] = failure
    for name in ("setup", "teardown"):
        vars(item)[name] = _nothing


def raise_held(item: pytest.Item) -> None:
    """Fail a test for an assertion that failed on the GPU."""
    if (failure := item.stash.get(HELD, None)) is not None:
        raise failure


def release(item: pytest.Item) -> None:
    """Make a test as it was before a failure was held: it may be run again."""
    if HELD in item.stash:
        del item.stash[HELD]
        for name in ("setup", "teardown"):
            vars(item).pop(name, None)


def _nothing() -> None:
    pass


def fell_with_infrastructure(item: pytest.Item) -> bool:
    """Whether a test could not run because of the infrastructure alone."""
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
