"""Checks between planning and running: findings become errors of tests, or warnings on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.calls import Batch
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.quantities import size
from pytest_modal.checks.finding import Finding
from pytest_modal.checks.levels import read_levels
from pytest_modal.checks.planned import check_planned
from pytest_modal.code.local_packages import sizes_of
from pytest_modal.declare.remote_function import remote_of
from pytest_modal.declare.settings import settings_of
from pytest_modal.plan.state import PLAN, ItemPlan
from pytest_modal.wording import safe, three_parts

MAX_PACKAGE_BYTES = 50_000_000  # of a local package, without a warning


def check_batch(config: pytest.Config, tests: Sequence[pytest.Item], batch: Batch) -> list[str]:
    """Check a batch; tests with an error are removed from it, all of them before anything is sent.

    Returns
    -------
    list of str
        The warnings, a line each.
    """
    plans = {item.nodeid: item.stash[PLAN] for item in tests if PLAN in item.stash}
    sent = {
        nodeid: [(each.remote.name, each.name, each.lent.value) for each in plan.sent] for nodeid, plan in plans.items()
    }
    levels = read_levels(settings_of(config).rules)
    autouse = {item.nodeid: list(_local_autouse(item)) for item in tests if isinstance(item, pytest.Function)}
    found = check_planned(batch, sent, autouse, config.rootpath, levels)
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
    sent_at_all = settings_of(config).mode != "replay"
    return [*warned, *(_large_packages(batch) if sent_at_all else ())]


def _large_packages(batch: Batch) -> Iterator[str]:
    """Yield a line for each local package that is too large to be sent without a thought."""
    for name in sorted({name for environment in batch.environments for name in environment.local_packages}):
        sizes = sizes_of([name])
        if sum(sizes.values()) > MAX_PACKAGE_BYTES:
            largest = max(sizes, key=lambda place: sizes[place])
            total, most = size(sum(sizes.values())), size(sizes[largest])
            yield safe(
                f"modal: warning: local_packages= sends {total} of {name!r}, {largest} alone is {most}: keep "
                "large data elsewhere, for example in a Volume (volumes=), or name only the part that is needed"
            )


def refuse_environments(
    tests: Sequence[pytest.Item], batch: Batch, refusal_of: Callable[[Environment], tuple[str, str] | None]
) -> None:
    """Refuse the tests of environments that can't be had.

    Parameters
    ----------
    refusal_of : callable
        Returns why one can't be had and what to do, or None.
    """
    plans = {item.nodeid: item.stash[PLAN] for item in tests if PLAN in item.stash}
    refused: set[str] = set()
    for environment in batch.environments:
        if (refusal := refusal_of(environment)) is not None:
            for call in batch.calls:
                if call.environment.key == environment.key:
                    for nodeid in set(call.tests) - refused:
                        _add_error(plans[nodeid], [three_parts(refusal[0], call.function.location, refusal[1])])
                    refused |= set(call.tests)
    without_tests(batch, refused)


def _local_autouse(item: pytest.Function) -> Iterator[Callable[..., object]]:
    """Yield the functions of the autouse fixtures of a test that run on this machine."""
    for name in compat.autouse(item):
        chain = compat.fixture_chain(item, name)
        if chain and remote_of(chain[-1].func) is None:
            yield chain[-1].func


def _add_error(plan: ItemPlan, errors: list[str]) -> None:
    known = [plan.error] if plan.error is not None else []
    plan.error = "\n\n".join([*known, *errors])


def message(finding: Finding, nodeid: str) -> str:
    """Return a finding in three parts."""
    where = f"{finding.path}:{finding.line}:{finding.column}, for {nodeid}"
    remedy = f"{finding.hint}; to allow it: # modal: allow {finding.code}"
    return three_parts(f"{finding.code} {finding.message}", where, remedy)


def without_tests(batch: Batch, refused: set[str]) -> None:
    """Remove tests from a batch, and the calls and container fixtures that nothing else needs."""
    if not refused:
        return
    for call in batch.calls:
        call.tests = [nodeid for nodeid in call.tests if nodeid not in refused]
    by_key = {call.key: call for call in batch.calls}
    queue = [call.key for call in batch.calls if call.tests]
    kept = set(queue)
    while queue:
        needed = batch.dependencies(by_key[queue.pop()])
        queue += [key for key in needed if key not in kept]
        kept |= set(needed)
    batch.calls = [call for call in batch.calls if call.key in kept]
    used = {key for call in batch.calls for key in call.containers}
    batch.containers = {key: container for key, container in batch.containers.items() if key in used}
