"""The order of a batch: each container fixture is built once and released after its last user."""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.calls import Batch, Call, Node, Rank
from pytest_modal.batch.digest import digest_of

Group = tuple[str, tuple[str, ...]]


AnyNode = TypeVar("AnyNode", bound=Node)


def rank_of(item: pytest.Function, rootdir: Path) -> Rank:
    """Return where a test stands: its file, its line, its place among the parametrizations of its function."""
    return _parts(item.path, rootdir), item.location[1] or 0, compat.position_of(item), item.nodeid


@functools.lru_cache(1000)
def _parts(path: Path, rootdir: Path) -> tuple[str, ...]:
    return (path.relative_to(rootdir) if path.is_relative_to(rootdir) else path).parts


def as_first_test(known: dict[str, AnyNode], node: AnyNode) -> AnyNode:
    """Return what is known of the same content, called as the first test that needs it calls it."""
    found = known.setdefault(node.key, node)
    if node.rank < found.rank:
        found.rank, found.label, found.shown, found.apart = node.rank, node.label, node.shown, node.apart
    return found


def sort_calls(batch: Batch) -> None:
    """Put the calls in order of execution: that of the tests in their files, whatever order they run in.

    Calls that need the same container fixtures follow each other. Of the groups with calls that are ready
    (what they depend on has run), the next is the one that shares container fixtures with the last and builds the
    fewest others; else the one that the first test needs, of the same environment if there is any. Repeats of calls
    are in another order in each round: what a call does may depend on those before.
    """
    calls = sorted(batch.calls, key=_rank)
    positions = {call.key: position for position, call in enumerate(calls)}
    waiting_for = {call.key: set(batch.dependencies(call)) for call in calls}
    dependents: dict[str, list[str]] = defaultdict(list)
    for key, needed in waiting_for.items():
        for dependency in needed:
            dependents[dependency].append(key)
    ready = _Ready()
    for position, call in enumerate(calls):
        if not waiting_for[call.key]:
            ready.add(_group(call), position)
    ordered: list[Call] = []
    while ready:
        for position in ready.next():
            ordered.append(calls[position])
            for key in dependents[calls[position].key]:
                waiting_for[key].discard(calls[position].key)
                if not waiting_for[key]:
                    ready.add(_group(calls[positions[key]]), positions[key])
    batch.calls = ordered


class _Ready:
    """Groups of calls that are ready, by their positions in the order of the tests."""

    def __init__(self) -> None:
        self._groups: dict[Group, list[int]] = {}
        self._first: dict[str, list[tuple[int, Group]]] = defaultdict(list)  # of each environment, as a heap
        self._users: dict[str, set[Group]] = defaultdict(set)  # of each container fixture
        self._last: Group = ("", ())

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, group: Group, position: int) -> None:
        """Add a call to its group."""
        heapq.heappush(self._groups.setdefault(group, []), position)
        heapq.heappush(self._first[group[0]], (position, group))
        for key in group[1]:
            self._users[key].add(group)

    def next(self) -> list[int]:
        """Take out the group whose turn it is; return its calls in order."""
        self._last = self._sharing() or self._of_first_test()
        for key in self._last[1]:
            self._users[key].discard(self._last)
        return sorted(self._groups.pop(self._last))

    def _sharing(self) -> Group | None:
        built = set(self._last[1])
        sharing = {group for key in built for group in self._users[key]}
        return min(sharing, key=lambda group: (len(set(group[1]) - built), self._groups[group][0]), default=None)

    def _of_first_test(self) -> Group:
        heads = {}
        for environment, heap in self._first.items():
            # What was taken out otherwise is still in the heap.
            while heap and self._groups.get(heap[0][1], [-1])[0] != heap[0][0]:
                heapq.heappop(heap)
            if heap:
                heads[environment] = heap[0]
        return heads.get(self._last[0], min(heads.values()))[1]


def _group(call: Call) -> Group:
    return call.environment.key, call.containers


def _rank(call: Call) -> tuple[int, str, str, Rank, str, str]:
    number = call.environment.round
    of_group, of_call = (digest_of(str(number), *of) if number else "" for of in (call.containers, (call.key,)))
    return number, of_group, of_call, call.rank, call.label, call.key
