"""Failed calls of a test: which it is handed as data, which decide over it, and how."""

from __future__ import annotations

from typing import Literal

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.declare.remote_function import RemoteFunction
from pytest_modal.plan.state import ItemPlan
from pytest_modal.store.results import Results

# What a call can do by itself; no session, no recording and a skip say nothing about it.
_OF_THE_CALL = ("raised", "not data", "timed out", "crashed")


def is_handed_over(results: Results, remote: RemoteFunction, outcome: Outcome) -> bool:
    """Whether a failed outcome reaches the test as data: ``on_error="value"``."""
    return remote.on_error == "value" and root_of(results, outcome).status in _OF_THE_CALL


def root_of(results: Results, outcome: Outcome) -> Outcome:
    """Return the failure from which an outcome follows: its own, or that of a call whose result it needed."""
    return _chain(results, outcome)[-1]


def _chain(results: Results, outcome: Outcome) -> list[Outcome]:
    chain = [outcome]
    while chain[-1].status == "dependency failed" and chain[-1].error:
        cause = results.outcomes.get(chain[-1].error.get("cause_key", ""))
        if cause is None:
            break
        chain.append(cause)
    return chain


def causes_of(item: pytest.Item, plan: ItemPlan, results: Results) -> list[Outcome]:
    """Return the failures that decide over a test, each cause once.

    What a test is handed as data may have failed only because another call did: that one does not decide either, unless
    the test itself requests its result.
    """
    failed = [(remote, outcome) for remote, key in plan.calls.items() for outcome in results.of(key) if not outcome.ok]
    handed_over = [outcome for remote, outcome in failed if is_handed_over(results, remote, outcome)]
    behind = {each.key for outcome in handed_over for each in _chain(results, outcome)}
    requested = compat.initial_names(item) if behind and isinstance(item, pytest.Function) else ()
    roots = [
        root_of(results, outcome)
        for remote, outcome in failed
        if not is_handed_over(results, remote, outcome) and (outcome.key not in behind or remote.name in requested)
    ]
    return list({root.key: root for root in roots}.values())


def is_of_service(outcome: Outcome) -> bool:
    """Whether a call could not run because of the infrastructure, and the project is not at fault."""
    return outcome.status == "infrastructure" and not (outcome.error or {}).get("of_project")


def verdict_of(outcome: Outcome) -> Literal["error", "failed", "skipped", "xfailed"]:
    """Return what a failed call means for a test that needs it."""
    if outcome.status == "skipped" or outcome.status == "xfailed":
        return outcome.status
    # An assertion in a container fixture says that there is nothing to test, as in a fixture of pytest.
    asserted = outcome.status == "raised" and outcome.container_key is None
    return "failed" if asserted and (outcome.error or {}).get("verdict") == "failed" else "error"
