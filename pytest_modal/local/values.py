"""Values of remote fixtures at setup; one that is missing is an error, never a test that passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_modal.local.container_value import ContainerValue
from pytest_modal.plan.failures import causes_of
from pytest_modal.plan.state import ItemPlan, Sent, plan_of, results_of
from pytest_modal.remote.data import CorruptDataError
from pytest_modal.wording import three_parts

if TYPE_CHECKING:
    from pytest_modal.declare.remote_function import RemoteFunction
    from pytest_modal.store.results import Results


def value_for(request: pytest.FixtureRequest, remote: RemoteFunction, arguments: Mapping[str, Any]) -> object:
    """Return the value of a remote fixture for the test that is being set up."""
    __tracebackhide__ = True
    from pytest_modal._pytest_compat import item_of

    item = item_of(request)
    plan = plan_of(item)
    if plan is not None:
        for name, value in arguments.items():
            if (sent := plan.sent_to(remote, name)) is not None:
                _check_same(item, sent, value)
    if remote.in_container:
        return ContainerValue(remote.name, remote.where)
    if plan is not None:
        _check_container_fixtures(item, plan)
    if plan is None or remote not in plan.calls:
        _fail_not_planned(item, remote, plan)
    return _value(item, plan, plan.calls[remote], remote)


def marked_value(item: pytest.Function, remote: RemoteFunction | None) -> object:
    """Return the result of the marker's function, for the fixture ``modal_result``."""
    __tracebackhide__ = True
    plan = plan_of(item)
    if plan is not None:
        for planned, key in plan.calls.items():
            if remote is not None and planned.function is remote.function:
                for sent in plan.sent:
                    if sent.remote is planned and sent.name in item.funcargs:
                        _check_same(item, sent, item.funcargs[sent.name])
                _check_container_fixtures(item, plan)
                return _value(item, plan, key, planned)
    if remote is None:
        what = "modal_result has no value: the test's marker names no function"
        remedy = "set function= on the marker: @pytest.mark.modal_gpu(function=...)"
        return pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)
    return _fail_not_planned(item, remote, plan)


def _value(item: pytest.Item, plan: ItemPlan, key: str, remote: RemoteFunction) -> object:
    __tracebackhide__ = True
    results = results_of(item.config)
    missing = results is None or len(results.of(key)) < len(results.batch.parts(key))
    if results is None or missing or (not results.is_good(key) and causes_of(item, plan, results)):
        if results is not None and results.is_shared and (difference := _difference(results, key)):
            pytest.fail(three_parts(difference, item.nodeid, _DETERMINISTIC), pytrace=False)
        what = f"the result of {remote.name} is missing: the batch ended without it"
        remedy = 'run pytest again; if it happens again, see the section "modal" in the summary below'
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)
    try:
        return results.value(key) if results.is_good(key) else _partial(results, key, remote)
    except CorruptDataError as error:
        what, remedy = f"the result of {remote.name} can't be read: {error}", "run pytest again: it is computed again"
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)
    except TypeError as error:
        pytest.fail(three_parts(f"{remote.name}: {error}", item.nodeid, "return a list"), pytrace=False)
    except FileNotFoundError as error:
        what = f"the result of {remote.name} was deleted while the tests ran: {error.filename}"
        remedy = "let nothing delete pytest's cache meanwhile, and run pytest again; --modal-resume uses what is left"
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)


def _partial(results: Results, key: str, remote: RemoteFunction) -> object:
    """Return a result that failed, or in part: a `Failure`, of a sharded call one for each item of its failed parts."""
    from pytest_modal.report.failures import as_failure

    if key not in results.batch.shards:
        return as_failure(results, results.outcomes[key])
    joined: list[object] = []
    for part in results.batch.shards[key]:
        outcome = results.outcomes[part]
        if outcome.ok:
            joined += results.rows(part)
        else:
            joined += [as_failure(results, outcome)] * results.items_sent(part, str(remote.shard))
    return joined


def _difference(results: Results, key: str) -> str | None:
    """Describe the arguments of a call that differ between workers of pytest-xdist, if there are such."""
    call = results.calls[results.batch.parts(key)[0]]
    own = call.argument_digests
    for other in (other for other, label in results.run.labels.items() if label == call.label):
        sent = results.run.arguments[other]
        if names := [repr(name) for name in own if own[name] != sent.get(name)]:
            verb = "differs" if len(names) == 1 else "differ"
            return f"{', '.join(names)} of {call.label} {verb} between workers of pytest-xdist"
    return None


_DETERMINISTIC = "make the local fixture deterministic (a fixed seed, no uuid, no clock): every worker computes it"


def _check_container_fixtures(item: pytest.Function, plan: ItemPlan) -> None:
    """Check what was sent to container fixtures: pytest sets those up without it."""
    __tracebackhide__ = True
    from pytest_modal._pytest_compat import value_of

    for sent in plan.sent:
        if sent.remote.in_container and sent.by_fixture:
            _check_same(item, sent, value_of(item, sent.name))


def _check_same(item: pytest.Item, sent: Sent, value: object) -> None:
    __tracebackhide__ = True
    from pytest_modal.code.arguments import digest_of_argument

    if value is sent.lent.value:
        if sent.lent.has_changed():
            _fail_changed_in_place(item, sent)
    elif digest_of_argument(value, sent.name) != sent.lent.digest:
        what = (
            f"the local fixture {sent.name!r} has changed since the batch was sent: the result of {sent.remote.name} "
            "was computed from the old value"
        )
        remedy = f'make {sent.name!r} return the same value each time (a fixed seed), or set scope="session" on it'
        pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)


def check_lent(item: pytest.Item) -> None:
    """Fail a test that was set up if something has changed in place what was sent for it."""
    __tracebackhide__ = True
    plan = plan_of(item)
    for sent in plan.sent if plan is not None else ():
        if sent.lent.has_changed_for(item.nodeid):
            _fail_changed_in_place(item, sent)


def _fail_changed_in_place(item: pytest.Item, sent: Sent) -> NoReturn:
    __tracebackhide__ = True
    function = sent.remote.name
    what = f"the local fixture {sent.name!r}" if sent.by_fixture else f"the argument {sent.name!r} of {function}"
    what += f" was changed in place after it was planned: the result of {function} was computed from the old value"
    remedy = f"let no test and no fixture change {sent.name!r}: change a copy of it (copy.deepcopy)"
    pytest.fail(three_parts(what, item.nodeid, remedy), pytrace=False)


def _fail_not_planned(item: pytest.Item, remote: RemoteFunction, plan: ItemPlan | None) -> NoReturn:
    __tracebackhide__ = True
    if plan is not None and plan.reason:
        why, remedy = plan.reason, "make that fixture behave the same at planning and at setup"
    else:
        why = "no test or fixture requests it by name"
        remedy = (
            f"name {remote.name!r} as a parameter of the test or of a fixture, or in usefixtures; "
            "request.getfixturevalue() runs after the batch was sent"
        )
    what, where = f"{remote.name} was not planned: {why}", f"{item.nodeid}, {remote.where}"
    pytest.fail(three_parts(what, where, remedy), pytrace=False)
