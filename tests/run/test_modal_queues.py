"""The calls of one environment on their way to Modal."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

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
