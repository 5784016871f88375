"""Hand results out at fixture setup; a result that isn't there is an error, never a quiet pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from pytest_modal.batch import Outcome
    from pytest_modal.declare import RemoteFunction
    from pytest_modal.store import Results


@dataclass(frozen=True)
class Sent:
    """A local value that was sent as an argument."""

    value: Any
    digest: str


@dataclass(eq=False)
class ItemPlan:
    """What a test gets from the batch.

    Attributes
    ----------
    calls : dict
        For each remote fixture that it reaches, the key of its call.
    sent : dict
        For each remote fixture and parameter, the local value that went along.
    error : str or None
        Why the test can't be planned at all.
    reason : str or None
        Why planning stopped at a local fixture.
    infrastructure : bool
        Whether all that its setup failed on was the infrastructure.
    """

    calls: dict[RemoteFunction, str] = field(default_factory=dict)
    sent: dict[tuple[RemoteFunction, str], Sent] = field(default_factory=dict)
    error: str | None = None
    reason: str | None = None
    infrastructure: bool = False


PLAN = pytest.StashKey[ItemPlan]()
RESULTS = pytest.StashKey["Results"]()


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

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.__getattr__("__call__")

    def __iter__(self) -> NoReturn:
        self.__getattr__("__iter__")


def value_for(request: pytest.FixtureRequest, remote: RemoteFunction, arguments: Mapping[str, Any]) -> Any:
    """Return the value of a remote fixture for the test that is being set up."""
    __tracebackhide__ = True
    from pytest_modal._pytest_compat import item_of

    item = item_of(request)
    plan = item.stash.get(PLAN, None)
    if plan is not None:
        for name, value in arguments.items():
            _check_sent(item, plan, remote, name, value)
    if remote.in_container:
        return ContainerValue(remote.name)
    if plan is None or remote not in plan.calls:
        _fail_not_planned(item, remote, plan)
    return _value(item, plan.calls[remote], remote.name)


def marked_value(item: pytest.Function, remote: RemoteFunction | None) -> Any:
    """Return the result of the marker's function, for the fixture ``modal_result``."""
    __tracebackhide__ = True
    plan = item.stash.get(PLAN, None)
    if plan is not None:
        for planned, key in plan.calls.items():
            if remote is not None and planned.function is remote.function:
                for (owner, name), sent in plan.sent.items():
                    if owner is planned and name in item.funcargs:
                        _check_same(item, remote.name, name, sent, item.funcargs[name])
                return _value(item, key, remote.name)
    if remote is None:
        return pytest.fail(
            "modal_result needs a function to be the result of\n"
            f"  where: {item.nodeid}\n"
            "  what to do: @pytest.mark.modal_gpu(function=...)",
            pytrace=False,
        )
    return _fail_not_planned(item, remote, plan)


def check_item(item: pytest.Item) -> None:
    """Fail a test at its setup if it could not be planned, or if a call that it needs has failed."""
    __tracebackhide__ = True
    plan = item.stash.get(PLAN, None)
    if plan is None:
        return
    if plan.error is not None:
        pytest.fail(plan.error, pytrace=False)
    results = item.config.stash.get(RESULTS, None)
    if results is None or not plan.calls:
        return
    outcomes = {outcome.key: outcome for key in plan.calls.values() for outcome in results.of(key)}
    for outcome in outcomes.values():
        label = "" if len(outcomes) == 1 else f" of {_label(results, outcome)}"
        for stream in ("stdout", "stderr"):
            if text := getattr(outcome, stream):
                item.add_report_section("setup", f"modal {stream}{label}", text)
    failed = [outcome for outcome in outcomes.values() if not outcome.ok]
    # What fell only because something else fell says nothing new, unless that is all there is.
    causes = [outcome for outcome in failed if outcome.status != "dependency failed"] or failed
    plan.infrastructure = bool(causes) and all(outcome.status == "infrastructure" for outcome in causes)
    if causes:
        from pytest_modal.report.messages import explain

        pytest.fail("\n\n".join(explain(results, outcome) for outcome in causes), pytrace=False)


def fell_with_infrastructure(item: pytest.Item) -> bool:
    """Whether a test could not run for no fault of its own, nor of a GPU function's."""
    plan = item.stash.get(PLAN, None)
    return plan is not None and plan.infrastructure


def teardown_errors(item: pytest.Item) -> list[str]:
    """Return what went wrong after the ``yield`` of container fixtures whose last user the test waited for."""
    plan, results = item.stash.get(PLAN, None), item.config.stash.get(RESULTS, None)
    if plan is None or results is None:
        return []
    from pytest_modal.report.messages import explain_teardown

    found = []
    for outcome in (outcome for key in plan.calls.values() for outcome in results.of(key)):
        # Once is enough, at the first test that used the call.
        found += [explain_teardown(results, outcome, error) for error in outcome.teardown_errors]
        outcome.teardown_errors = []
    return found


def _value(item: pytest.Item, key: str, name: str) -> Any:
    __tracebackhide__ = True
    results = item.config.stash.get(RESULTS, None)
    if results is None or not (outcomes := results.of(key)) or not all(outcome.ok for outcome in outcomes):
        if results is not None and results.is_shared and (told := _differs(results, key)):
            pytest.fail(f"{told}\n  where: {item.nodeid}\n{_SAME_EVERYWHERE}", pytrace=False)
        pytest.fail(
            f"the result of {name} is missing: the batch ended without it\n"
            f"  where: {item.nodeid}\n"
            "  what to do: run pytest again; if it stays so, the summary above says what happened to the batch",
            pytrace=False,
        )
    try:
        return results.value(key)
    except TypeError as error:
        pytest.fail(f"{name}: {error}\n  where: {item.nodeid}\n  what to do: return a list", pytrace=False)


def _differs(results: Results, key: str) -> str | None:
    """Say what another worker of pytest-xdist has sent another value of."""
    call = next(call for call in results.batch.calls if call.key in results.batch.parts(key))
    own = call.argument_digests
    for other in (other for other, label in results.run.labels.items() if label == call.label):
        sent = results.run.arguments[other]
        if names := [repr(name) for name in own if own[name] != sent.get(name)]:
            return f"{call.label} was sent with another {', '.join(names)} by the worker that ran the batch"
    return None


_SAME_EVERYWHERE = (
    "  what to do: local fixtures must give the same value in every process: a fixed seed, no uuid, no time"
)


def _check_sent(item: pytest.Item, plan: ItemPlan, remote: RemoteFunction, name: str, value: Any) -> None:
    __tracebackhide__ = True
    sent = plan.sent.get((remote, name))
    if sent is not None:
        _check_same(item, remote.name, name, sent, value)


def _check_same(item: pytest.Item, remote: str, name: str, sent: Sent, value: Any) -> None:
    __tracebackhide__ = True
    if value is sent.value:
        return
    from pytest_modal import data

    if data.digest(data.encode(value, name)) != sent.digest:
        pytest.fail(
            f"the local fixture {name!r} has another value now than when the batch was sent to {remote}: "
            "the result belongs to the old one\n"
            f"  where: {item.nodeid}\n"
            f'  what to do: make {name!r} give the same value each time (a fixed seed), or give it scope="session"',
            pytrace=False,
        )


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
    pytest.fail(
        f"{remote.name} was not planned: {why}\n  where: {item.nodeid}, {remote.where}\n  what to do: {remedy}",
        pytrace=False,
    )


def _label(results: Results, outcome: Outcome) -> str:
    return next(call.label for call in results.batch.calls if call.key == outcome.key)
