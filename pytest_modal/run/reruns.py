"""Reruns: tests that can only fail again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_modal.plan.failures import causes_of
from pytest_modal.plan.state import ItemPlan, plan_of
from pytest_modal.store.results import Results


def spare_reruns(config: pytest.Config, results: Results, tests: Sequence[pytest.Item]) -> None:
    """Exempt from pytest-rerunfailures the tests that can only fail again: no batch is run again for a test."""
    if not config.pluginmanager.has_plugin("rerunfailures"):
        return
    for item in tests:
        if (plan := plan_of(item)) is not None and _is_settled(item, plan, results):
            # reruns=0 wins over --reruns, and the condition over --force-reruns.
            item.add_marker(pytest.mark.flaky(reruns=0, condition=False), append=False)


def _is_settled(item: pytest.Item, plan: ItemPlan, results: Results) -> bool:
    if plan.error or plan.reason:
        return True
    parts = [part for key in plan.calls.values() for part in results.batch.parts(key)]
    outcomes = [results.outcomes.get(part) for part in parts]
    return None in outcomes or bool(causes_of(item, plan, results))
