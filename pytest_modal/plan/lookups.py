"""How pytest sets remote fixtures up: their values are looked up, so what they take need not be there first."""

from __future__ import annotations

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.remote_function import RemoteFunction, remote_of
from pytest_modal.plan.state import plan_of


def look_values_up(session: pytest.Session) -> None:
    """Make remote fixtures depend on what was planned for a test, not on pytest's scopes.

    A container fixture lasts for the session, yet may take what is parametrized for each test: pytest would refuse
    to set that up for it, and nothing needs it here. A data fixture that a wider scope would share is handed out
    again to a test for which another call was planned. Called once all tests are collected: their parameters, and
    those of the fixtures that they need, are found by the names that fixtures request.
    """
    for definition in compat.definitions_for(session.items):
        remote = remote_of(definition.func)
        if remote is None:
            continue
        if remote.in_container:
            compat.request_nothing(definition)
        else:
            _hand_out_by_call(definition, remote)


def _hand_out_by_call(definition: compat.FixtureDef, remote: RemoteFunction) -> None:
    def key(item: pytest.Function) -> str | None:
        plan = plan_of(item)
        return None if plan is None else plan.calls.get(remote)

    compat.cache_by(definition, key)
