"""The order of a batch: each container fixture is built once and released after its last user."""

from __future__ import annotations

from collections import defaultdict

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.digest import digest_of

Group = tuple[str, tuple[str, ...]]


def sort_calls(batch: Batch) -> None:
    """Put the calls in order of execution, whatever the order of the tests was.

    Calls that need the same container fixtures follow each other. Of the groups with calls that are ready
    (what they depend on has run), the next is one of the same environment that builds the fewest container
    fixtures. Repeats of calls are in another order in each round: what a call does may depend on those before.
    """
    calls = {call.key: call for call in sorted(batch.calls, key=_rank)}
    waiting_for = {key: set(batch.dependencies(call)) for key, call in calls.items()}
    dependents: dict[str, list[str]] = defaultdict(list)
    for key, needed in waiting_for.items():
        for dependency in needed:
            dependents[dependency].append(key)
    ready: dict[Group, list[Call]] = {}
    for key, call in calls.items():
        if not waiting_for[key]:
            ready.setdefault(_group(call), []).append(call)
    ordered: list[Call] = []
    environment, loaded = "", set[str]()
    while ready:
        group = min(ready, key=lambda group: (group[0] != environment, len(set(group[1]) - loaded)))
        environment = group[0]
        loaded |= set(group[1])
        for call in ready.pop(group):
            ordered.append(call)
            for key in dependents[call.key]:
                waiting_for[key].discard(call.key)
                if not waiting_for[key]:
                    ready.setdefault(_group(calls[key]), []).append(calls[key])
    batch.calls = ordered


def _group(call: Call) -> Group:
    return call.environment.key, call.containers


def _rank(call: Call) -> tuple[str, str, tuple[str, ...], str, str, str, str]:
    number = call.environment.round
    of_group, of_call = (digest_of(str(number), *of) if number else "" for of in (call.containers, (call.key,)))
    return (
        call.environment.key,
        of_group,
        call.containers,
        of_call,
        call.function.location,
        call.label,
        call.key,
    )
