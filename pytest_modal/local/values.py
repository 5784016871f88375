"""Values of remote fixtures, handed out at setup; one that is missing is an error, never a quiet pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_modal.plan.state import ItemPlan, Sent, plan_of, results_of
from pytest_modal.wording import three_parts

if TYPE_CHECKING:
    from pytest_modal.declare.remote_function import RemoteFunction
    from pytest_modal.store.results import Results


class ContainerValue:
    """What a local caller gets in place of a container fixture's value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<the value of container fixture {self._name!r}, which lives on the GPU only>"

    def __getattr__(self, attribute: str) -> NoReturn:
        raise AttributeError(
            f"{self!r} has no {attribute!r} here: write a @pytest_modal.fixture that takes {self._name!r} "
            "and returns data"
        )

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        self.__getattr__("__call__")

    def __iter__(self) -> NoReturn:
        self.__getattr__("__iter__")


def value_for(request: pytest.FixtureRequest, remote: RemoteFunction, arguments: Mapping[str, Any]) -> object:
    """Return the value of a remote fixture for the test that is being set up."""
    __tracebackhide__ = True
    from pytest_modal._pytest_compat import item_of

    item = item_of(request)
    plan = plan_of(item)
    if plan is not None:
        for name, value in arguments.items():
            _check_sent(item, plan, remote, name, value)
    if remote.in_container:
        return ContainerValue(remote.name)
    if plan is not None:
        _check_container_fixtures(item, plan)
    if plan is None or remote not in plan.calls:
        _fail_not_planned(item, remote, plan)
    return _value(item, plan.calls[remote], remote.name)


def marked_value(item: pytest.Function, remote: RemoteFunction | None) -> object:
    """Return the result of the marker's function, for the fixture ``modal_result``."""
    __tracebackhide__ = True
    plan = plan_of(item)
    if plan is not None:
        for planned, key in plan.calls.items():
            if remote is not None and planned.function is remote.function:
                for (owner, name), sent in plan.sent.items():
                    if owner is planned and name in item.funcargs:
                        _check_same(item, remote.name, name, sent, item.funcargs[name])
                _check_container_fixtures(item, plan)
                return _value(item, key, remote.name)
    if remote is None:
        what = "modal_result needs a function to be the result of"
        return pytest.fail(three_parts(what, item.nodeid, "@pytest.mark.modal_gpu(function=...)"), pytrace=False)
    return _fail_not_planned(item, remote, plan)


def _value(item: pytest.Item, key: str, name: str) -> object:
    __tracebackhide__ = True
    results = results_of(item.config)
    if results is None or not (outcomes := results.of(key)) or not all(outcome.ok for outcome in outcomes):
        if results is not None and results.is_shared and (told := _differs(results, key)):
            pytest.fail(three_parts(told, item.nodeid, _SAME_EVERYWHERE), pytrace=False)
        what = f"the result of {name} is missing: the batch ended without it"
        remedy = "run pytest again; if it stays so, the summary above says what happened to the batch"
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)
    try:
        return results.value(key)
    except TypeError as error:
        pytest.fail(three_parts(f"{name}: {error}", item.nodeid, "return a list"), pytrace=False)


def _differs(results: Results, key: str) -> str | None:
    """Say what another worker of pytest-xdist has sent another value of."""
    call = next(call for call in results.batch.calls if call.key in results.batch.parts(key))
    own = call.argument_digests
    for other in (other for other, label in results.run.labels.items() if label == call.label):
        sent = results.run.arguments[other]
        if names := [repr(name) for name in own if own[name] != sent.get(name)]:
            return f"{call.label} was sent with another {', '.join(names)} by the worker that ran the batch"
    return None


_SAME_EVERYWHERE = "local fixtures must give the same value in every process: a fixed seed, no uuid, no time"


def _check_sent(item: pytest.Item, plan: ItemPlan, remote: RemoteFunction, name: str, value: object) -> None:
    __tracebackhide__ = True
    sent = plan.sent.get((remote, name))
    if sent is not None:
        _check_same(item, remote.name, name, sent, value)


def _check_container_fixtures(item: pytest.Function, plan: ItemPlan) -> None:
    """Check what was sent to container fixtures: pytest sets those up without it."""
    __tracebackhide__ = True
    from pytest_modal._pytest_compat import value_of

    for (owner, name), sent in plan.sent.items():
        if owner.in_container and sent.by_fixture:
            _check_same(item, owner.name, name, sent, value_of(item, name))


def _check_same(item: pytest.Item, remote: str, name: str, sent: Sent, value: object) -> None:
    __tracebackhide__ = True
    if value is sent.value:
        return
    from pytest_modal.remote import data

    if data.digest(data.encode(value, name)) != sent.digest:
        what = (
            f"the local fixture {name!r} has another value now than when the batch was sent to {remote}: "
            "the result belongs to the old one"
        )
        remedy = f'make {name!r} give the same value each time (a fixed seed), or give it scope="session"'
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)


def _fail_not_planned(item: pytest.Item, remote: RemoteFunction, plan: ItemPlan | None) -> NoReturn:
    __tracebackhide__ = True
    if plan is not None and plan.reason:
        why, remedy = plan.reason, "make that fixture give the same answer each time"
    else:
        why = "nothing that pytest knows before the tests run asks for it"
        remedy = (
            f"name {remote.name!r} as a parameter of the test or of a fixture, or in usefixtures; "
            "getfixturevalue() comes after the batch"
        )
    what, where = f"{remote.name} was not planned: {why}", f"{item.nodeid}, {remote.where}"
    pytest.fail(three_parts(what, where, remedy), pytrace=False)
