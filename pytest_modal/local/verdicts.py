"""Verdicts of failed calls on the tests that need them: an error, a failure of the test, a skip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_modal._pytest_compat import Failed, skip_at_item
from pytest_modal.local.causes import failure_for
from pytest_modal.local.debugging import debugger_hint, raised_here
from pytest_modal.plan.failures import verdict_of
from pytest_modal.wording import safe

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome
    from pytest_modal.store.results import Results


class GpuAssertionError(Failed, AssertionError):
    """An assertion failed in a GPU function: the tests that need its result fail, as if it had failed in them."""

    # Reports name an exception by these: it is one of pytest's.
    __module__, __qualname__ = Failed.__module__, Failed.__qualname__


HELD = pytest.StashKey[BaseException]()


def hold(item: pytest.Item, failure: BaseException) -> None:
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


def decide(item: pytest.Item, results: Results, causes: list[Outcome]) -> None:
    """End the setup of a test as the failed calls that it needs demand: the worst of them counts."""
    __tracebackhide__ = True
    verdicts = {outcome.key: verdict_of(outcome) for outcome in causes}
    decisive = [outcome for outcome in causes if verdicts[outcome.key] in ("error", "failed")]
    if decisive:
        is_error = "error" in verdicts.values()
        failure = raised_here(item.config, decisive)
        if failure is None:
            kind = pytest.fail.Exception if is_error else GpuAssertionError
            failure = failure_for(item, results, decisive, debugger_hint(item, decisive), kind)
        if is_error:
            raise failure
        hold(item, failure)
        return
    reasons = {verdict: _reason(causes, verdicts, verdict) for verdict in verdicts.values()}
    if "xfailed" in reasons:
        pytest.xfail(reasons["xfailed"])
    skip_at_item(reasons["skipped"])


def _reason(causes: list[Outcome], verdicts: Mapping[str, str], verdict: str) -> str:
    messages = [safe((each.error or {}).get("message", "")) for each in causes if verdicts[each.key] == verdict]
    return "; ".join(dict.fromkeys(messages))
