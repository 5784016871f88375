"""Verdicts of failed calls on a test: an error, a failure, a skip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modal._pytest_compat import Failed, skip_at_item
from pytest_modal.local.causes import failure_for
from pytest_modal.local.debugging import debugger_hint, raise_inline, raised_by
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


def decide(item: pytest.Item, results: Results, causes: Sequence[Outcome]) -> None:
    """End the setup of a test as the failed calls that it needs say: the worst of them counts.

    A failure is held until the test is called: raised at setup it would be an error.
    """
    __tracebackhide__ = True
    verdicts = {outcome.key: verdict_of(outcome) for outcome in causes}
    failed = [outcome for outcome in causes if verdicts[outcome.key] in ("error", "failed")]
    if "error" in verdicts.values():
        raise_inline(item.config, [outcome for outcome in failed if verdicts[outcome.key] == "error"])
        raise failure_for(item, results, failed, debugger_hint(item, failed), pytest.fail.Exception)
    if failed:
        own = next(iter(raised_by(item.config, failed)), None)
        _hold(item, own or failure_for(item, results, failed, debugger_hint(item, failed), GpuAssertionError))
    elif "xfailed" in verdicts.values():
        pytest.xfail(_reason([outcome for outcome in causes if verdicts[outcome.key] == "xfailed"]))
    else:
        skip_at_item(_reason(causes))


def _reason(causes: Sequence[Outcome]) -> str:
    return "; ".join(dict.fromkeys(safe((outcome.error or {}).get("message", "")) for outcome in causes))


def _hold(item: pytest.Item, failure: BaseException) -> None:
    # The test's own fixtures are not set up meanwhile: they would get a result that is not there.
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
