"""Between planning and running: what the rules find in the batch becomes errors of tests, or lines on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pytest_modal.batch import Batch
from pytest_modal.checks.planned import check_planned, message, read_levels, without_tests
from pytest_modal.handout import PLAN, ItemPlan
from pytest_modal.settings import SETTINGS


def check_batch(
    config: pytest.Config, tests: Sequence[pytest.Item], batch: Batch, functions: Mapping[str, Callable[..., Any]]
) -> list[str]:
    """Check a batch; tests with an error are taken out of it, all of them before anything is sent.

    Returns
    -------
    list of str
        The warnings, a line each.
    """
    plans = {item.nodeid: item.stash[PLAN] for item in tests if PLAN in item.stash}
    sent = {
        nodeid: [(remote.name, name, each.value) for (remote, name), each in plan.sent.items()]
        for nodeid, plan in plans.items()
    }
    levels = read_levels(config.stash[SETTINGS].rules)
    found = check_planned(batch, functions, sent, config.rootpath, levels)
    warned: dict[str, None] = {}
    for nodeid, findings in found.items():
        errors = [message(finding, nodeid) for finding in findings if levels[finding.code] == "error"]
        if errors:
            _add_error(plans[nodeid], errors)
        for finding in findings:
            if levels[finding.code] == "warning":
                place = f"{finding.path}:{finding.line}:{finding.column}"
                warned[f"modal: warning: {place}: {finding.code} {finding.message}; {finding.hint}"] = None
    without_tests(batch, {nodeid for nodeid, plan in plans.items() if plan.error is not None})
    return list(warned)


def _add_error(plan: ItemPlan, errors: list[str]) -> None:
    known = [plan.error] if plan.error is not None else []
    plan.error = "\n\n".join([*known, *errors])
