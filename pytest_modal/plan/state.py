"""State on pytest's objects between the stages: each test's plan, the results of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_modal.declare.remote_function import RemoteFunction
    from pytest_modal.plan.lent import Lent
    from pytest_modal.store.results import Results


@dataclass(frozen=True, slots=True)
class Sent:
    """A local value that was sent as an argument.

    Attributes
    ----------
    remote, name : RemoteFunction, str
        Who takes it, and its parameter.
    by_fixture : bool
        Whether a local fixture of that name returned it, and may return another when the test is set up.
    """

    remote: RemoteFunction
    name: str
    lent: Lent
    by_fixture: bool = False


@dataclass(frozen=True)
class Unknown:
    """A fixture that doesn't exist: the names that lead to it, and the question whether another one was meant."""

    path: tuple[str, ...]
    hint: str


@dataclass(eq=False, slots=True)
class ItemPlan:
    """What a test gets from the batch.

    Attributes
    ----------
    calls : dict
        For each remote fixture that it uses, the key of its call.
    sent : tuple of Sent
        The local values that went along.
    error : str or None
        Why the test can't be planned at all.
    unknown : Unknown or None
        The error, if it is that a fixture doesn't exist.
    reason : str or None
        Why planning stopped at a local fixture.
    infrastructure : bool
        Whether all that its setup failed on was the infrastructure.
    """

    calls: dict[RemoteFunction, str] = field(default_factory=dict)
    sent: tuple[Sent, ...] = ()
    error: str | None = None
    unknown: Unknown | None = None
    reason: str | None = None
    infrastructure: bool = False

    def lend(self, remote: RemoteFunction, name: str, lent: Lent, nodeid: str, *, by_fixture: bool = False) -> None:
        """Note a local value that goes along for the test."""
        lent.lend(nodeid)
        others = (each for each in self.sent if (each.remote, each.name) != (remote, name))
        self.sent = (*others, Sent(remote, name, lent, by_fixture))

    def sent_to(self, remote: RemoteFunction, name: str) -> Sent | None:
        """Return the local value that went along as an argument."""
        return next((each for each in self.sent if each.remote is remote and each.name == name), None)


PLAN = pytest.StashKey[ItemPlan]()
RESULTS = pytest.StashKey["Results"]()
Raised = tuple[BaseException, TracebackType | None]
_RAISED_INLINE = pytest.StashKey[dict[str, Raised]]()


class PlanningError(Exception):
    """A test can't be planned; the message says what, where and what to do."""


def plan_of(item: pytest.Item) -> ItemPlan | None:
    """Return what a test gets from the batch; None for one that is not planned."""
    return item.stash.get(PLAN, None)


def results_of(config: pytest.Config) -> Results | None:
    """Return what the run has computed; None before the batch and without one."""
    return config.stash.get(RESULTS, None)


def raised_inline(config: pytest.Config) -> dict[str, Raised]:
    """Return what functions have raised in this process, by the key of the call or the container fixture.

    Each with its traceback, because an exception gets a longer one whenever it is raised again.
    """
    return config.stash.setdefault(_RAISED_INLINE, {})
