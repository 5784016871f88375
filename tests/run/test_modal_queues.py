"""The calls of one environment on their way to Modal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import pytest

from pytest_modal.batch.calls import Call, ShippedFunction
from pytest_modal.batch.environment import Environment
from pytest_modal.run.modal.app import Service
from pytest_modal.run.modal.queues import EnvironmentQueue


def handle(**_: Any) -> None:
    raise AssertionError("nothing is sent here")


def test_waiting_for_a_gpu_begins_with_the_first_call_and_not_with_the_machine() -> None:
    """Before its first call is sent, an environment that was just looked at seemed silent since the machine's start."""
    function = ShippedFunction("f", "f", "test_it.py:1", b"")
    calls = deque([Call("1", "f[1]", function, {}, Environment()), Call("2", "f[2]", function, {}, Environment())])
    queue = EnvironmentQueue(Service("T4", Environment(), handle), calls, asyncio.Event())
    before = time.monotonic()
    pack = queue.next(lambda call: True)
    assert pack is not None
    queue.sent(pack)
    first = queue.seen_at
    assert before <= first <= time.monotonic()
    assert queue.next(lambda call: True) is not None
    assert queue.seen_at == first


@pytest.mark.parametrize(
    ("seconds", "calls"),
    [
        (0.001, 1_000),
        (0.25, 4),
        (0.26, 4),
        (0.3, 3),
        (0.38, 3),
        (0.42, 2),
        (0.45, 2),
        (0.6, 2),
        (0.7, 1),
        (1.5, 1),
        (60.0, 1),
    ],
)
def test_a_pack_is_as_near_to_a_second_as_its_calls_come(seconds: float, calls: int) -> None:
    function = ShippedFunction("f", "f", "test_it.py:1", b"")
    waiting = deque(Call(str(number), f"f[{number}]", function, {}, Environment()) for number in range(3_000))
    queue = EnvironmentQueue(Service("T4", Environment(), handle), waiting, asyncio.Event(), 1.0)
    first = queue.next(lambda call: True)
    assert first is not None
    assert len(first.calls) == 1  # nothing is known yet
    queue.measured(first.calls, [seconds])
    queue.back(first, ())
    pack = queue.next(lambda call: True)
    assert pack is not None
    assert abs(len(pack.calls) - calls) <= calls / 1_000  # seconds are added up
