"""Rounds: the same calls again, in their own containers and in another order, so that they are independent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import pytest

from pytest_modal.batch.calls import Argument, Batch, Call, Container, FromCall, FromContainer
from pytest_modal.declare.settings import GateSettings
from pytest_modal.plan.order import sort_calls
from pytest_modal.plan.state import ItemPlan, plan_of
from pytest_modal.wording import count

ROUNDS = pytest.StashKey[int]()  # of the config: how many there are of the calls of gated tests


def key_in(key: str, number: int) -> str:
    """Return the key of a call or container fixture in a round; the first round, 0, has the plain one."""
    return f"{key}-r{number}" if number else key


def plan_in(plan: ItemPlan, number: int) -> ItemPlan:
    """Return what a test gets in a round."""
    return replace(plan, calls={remote: key_in(key, number) for remote, key in plan.calls.items()})


def first_round(batch: Batch) -> Batch:
    """Return a batch without its repeats."""
    return batch.without({call.key for call in batch.calls if call.environment.round})


def calls_of(items: Iterable[pytest.Item]) -> set[str]:
    """Return the keys of the calls of tests."""
    plans = [plan for item in items if (plan := plan_of(item)) is not None]
    return {key for plan in plans for key in plan.calls.values()}


def repeat(batch: Batch, keys: Collection[str], numbers: Iterable[int]) -> Batch:
    """Return a batch with calls of another, and all that they depend on, once in each round.

    Parameters
    ----------
    keys : collection of str
        Of the calls, sharded ones included.
    numbers : iterable of int
        Of the rounds, from 1 on.
    """
    needed = _needed(batch, keys)
    chosen = [call for call in batch.calls if call.key in needed]
    repeated = Batch(requirements=batch.requirements)
    for number in numbers:
        for call in chosen:
            repeated.calls.append(_call_in(call, number))
            for key in call.containers:
                container = _container_in(batch.containers[key], number)
                repeated.containers[container.key] = container
        for key, parts in batch.shards.items():
            if needed.issuperset(parts):
                repeated.shards[key_in(key, number)] = tuple(key_in(part, number) for part in parts)
    sort_calls(repeated)
    return repeated


def with_rounds(batch: Batch, items: Sequence[pytest.Item], rounds: int) -> Batch:
    """Return a batch in which the calls of some tests are made in so many rounds, each in its own session."""
    repeated = repeat(batch, calls_of(items), range(1, rounds))
    together = Batch(
        [*batch.calls, *repeated.calls],
        batch.containers | repeated.containers,
        batch.shards | repeated.shards,
        batch.requirements,
        rounds_apart=True,
    )
    sort_calls(together)
    return together


def costs(batch: Batch, items: Sequence[pytest.Item], gates: GateSettings) -> list[str]:
    """Return lines about the cost of the rounds of some tests besides the first."""
    calls = len(_needed(batch, calls_of(items)))
    of = f"the {count(calls, 'call')} of {count(len(items), 'gated test')}"
    if not calls:
        return []
    if gates.updating:
        more = f"{count(calls * (gates.rounds - 1), 'call')} more, each round in its own session"
        return [f"baselines: {count(gates.rounds, 'round')} of {of}: {more}"]
    if gates.confirm:
        more = f"{count(calls * gates.confirm, 'call')} more at most, each round in its own session"
        return [f"suspicious gates: {count(gates.confirm, 'fresh round')} of {of}: {more}"]
    return []


def _needed(batch: Batch, keys: Collection[str]) -> set[str]:
    calls = {call.key: call for call in batch.calls}
    waiting = [part for key in keys for part in batch.parts(key) if part in calls]
    needed: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in needed:
            needed.add(key)
            waiting += batch.dependencies(calls[key])
    return needed


def _call_in(call: Call, number: int) -> Call:
    return replace(
        call,
        key=key_in(call.key, number),
        label=f"{call.label}, round {number + 1}",
        arguments=_arguments_in(call.arguments, number),
        environment=call.environment.in_round(number),
        containers=tuple(key_in(key, number) for key in call.containers),
        tests=list(call.tests),
    )


def _container_in(container: Container, number: int) -> Container:
    return replace(
        container,
        key=key_in(container.key, number),
        arguments=_arguments_in(container.arguments, number),
        environment=container.environment.in_round(number),
    )


def _arguments_in(arguments: Mapping[str, Argument], number: int) -> dict[str, Argument]:
    return {
        name: type(argument)(key_in(argument.key, number))
        if isinstance(argument, FromCall | FromContainer)
        else argument
        for name, argument in arguments.items()
    }


def is_gated(item: pytest.Item) -> bool:
    """Whether a test requests a gate."""
    return "accuracy_gate" in getattr(item, "fixturenames", ())
