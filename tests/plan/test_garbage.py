"""Python's collector, which has to wait while much is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pytest_modal.plan.garbage import without_collections

COLLECTED = list[int]()


@pytest.fixture(autouse=True)
def _counted() -> Iterator[None]:
    """Note the generations that the collector looks at."""

    def note(phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            COLLECTED.append(facts["generation"])

    gc.collect()
    COLLECTED.clear()
    gc.callbacks.append(note)
    yield
    gc.callbacks.remove(note)


def test_what_a_block_makes_is_not_looked_at_when_it_ends() -> None:
    with without_collections():
        made = [[number] for number in range(100_000)]
        assert COLLECTED == []
    assert gc.isenabled()
    young = {id(each) for each in gc.get_objects(generation=0)}
    assert young.isdisjoint(map(id, made))


def test_cycles_that_a_block_leaves_are_freed_with_the_others() -> None:
    class Node:
        ended = 0

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Node.ended += 1

    with without_collections():
        for _ in range(100):
            Node()
    assert Node.ended == 0
    gc.collect()
    assert Node.ended == 100


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with without_collections(), without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_somebody_else_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_collections():
            pass
        assert gc.get_freeze_count() == frozen > 0
    finally:
        gc.unfreeze()
