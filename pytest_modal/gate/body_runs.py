"""The runs of a gated test's body: one for each round, of which the last decides.

Between two runs every fixture is torn down, whatever its scope: a value of one round must not reach another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.ledger import Held, ledger_of
from pytest_modal.local.output_dir import SCRATCH
from pytest_modal.plan.rounds import ROUNDS, plan_in
from pytest_modal.plan.state import PLAN, RESULTS, plan_of
from pytest_modal.store.scratch import temporary_directory

if TYPE_CHECKING:
    from pytest_modal.gate.judge.evaluation import Evaluation
    from pytest_modal.gate.judge.policy import Origin
    from pytest_modal.store.results import Results


@dataclass
class BodyRun:
    """One run of a test's body.

    Attributes
    ----------
    number : int
        Of the round.
    last : bool
        Whether the gates decide now, on all rounds.
    can_hold : bool
        Whether a suspicious gate can have fresh rounds.
    rounds : dict
        The evaluations so far, by gate.
    origins : list of Origin
        Where the rounds before this one were made.
    suspicious : list of str
        The summary lines of the gates that want fresh rounds.
    """

    number: int = 0
    last: bool = True
    can_hold: bool = False
    rounds: dict[str, list[Evaluation]] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    suspicious: list[str] = field(default_factory=list)


BODY_RUN = pytest.StashKey[BodyRun]()
FRESH = pytest.StashKey[tuple["Results", Held]]()  # of an item that is to be judged again


def body_run_of(item: pytest.Item) -> BodyRun:
    """Return which run of its body a test is in."""
    return item.stash.get(BODY_RUN, None) or BodyRun()


def run(item: pytest.Item, following: pytest.Item | None) -> bool | None:
    """Run a gated test in its rounds, and log its reports unless it has to wait for fresh ones.

    Returns
    -------
    bool or None
        None if the test has only one round: pytest runs it.
    """
    plan, settings = plan_of(item), settings_of(item.config).gates
    if plan is None or not plan.calls or RESULTS not in item.config.stash:
        return None
    results, fresh = item.config.stash[RESULTS], item.stash.get(FRESH, None)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    held = Held(item.nodeid)
    if fresh is not None:
        results, held = fresh
        reports, _ = _body_runs(item, results, range(1, settings.confirm + 1), held, following)
    elif settings.updating:
        reports, _ = _body_runs(item, results, range(item.config.stash[ROUNDS]), held, following)
    else:
        reports, last = _body_runs(item, results, [0], held, following)
        if last.suspicious and all(report.passed for report in reports):
            held.lines += last.suspicious
            ledger_of(item.config).held[item.nodeid] = held
            reports = []
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _body_runs(
    item: pytest.Item, results: Results, numbers: Sequence[int], held: Held, following: pytest.Item | None
) -> tuple[list[pytest.TestReport], BodyRun]:
    """Run the body once a round, up to the first run that doesn't pass; return the reports of the last run."""
    from pytest_modal.gate.origin import origin_of

    reports: list[pytest.TestReport] = []
    origins: list[Origin] = []
    confirm = settings_of(item.config).gates.confirm
    for number in numbers:
        alone = len(numbers) == 1
        current = BodyRun(number, number == numbers[-1], alone and not numbers[0] and confirm > 0, held.rounds, origins)
        properties = [*item.user_properties]
        with _in_round(item, results, current):
            reports = compat.run_silently(item, following if alone and not number else None)
            origins.append(origin_of(item))
        if not all(report.passed for report in reports):
            break
        if not current.last:
            item.user_properties[:] = properties
    return reports, current


@contextlib.contextmanager
def _in_round(item: pytest.Item, results: Results, current: BodyRun) -> Iterator[None]:
    """Make fixtures return the results of a round; the files of a run that does not decide are not kept."""
    config, plan, usual = item.config, item.stash[PLAN], item.config.stash[RESULTS]
    with contextlib.ExitStack() as stack:
        if not current.last:
            item.stash[SCRATCH] = stack.enter_context(temporary_directory())
        item.stash[BODY_RUN], item.stash[PLAN], config.stash[RESULTS] = current, plan_in(plan, current.number), results
        try:
            yield
        finally:
            item.stash[PLAN], config.stash[RESULTS] = plan, usual
            del item.stash[BODY_RUN]
            if SCRATCH in item.stash:
                del item.stash[SCRATCH]
