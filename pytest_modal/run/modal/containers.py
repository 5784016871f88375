"""Containers of a session: which there were, from when to when, on which GPU, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.environment import Environment
from pytest_modal.declare.prices import Prices
from pytest_modal.remote.framing import PackReply


@dataclass
class _Container:
    environment: Environment
    began: float  # monotonic seconds of this machine
    device: str
    ended: float | None = None


class Containers:
    """The lives of the containers of a session.

    A container counts from its first report on, with the age that it reports, until its end; where that isn't seen,
    until the session's.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._since = time.monotonic()
        self._containers: dict[str, _Container] = {}

    def seen(self, environment: Environment, name: str, age: float, device: str) -> None:
        """Note that a container has reported how many seconds ago it started, and its GPU."""
        now = time.monotonic()
        # A report may be late, but never early. No container is older than the session, whatever it says.
        began = now - min(age, now - self._since) if age > 0 else now
        container = self._containers.setdefault(name, _Container(environment, began, device))
        container.began = min(container.began, began)
        container.device = container.device or device

    def replied(self, environment: Environment, head: PackReply) -> None:
        """Note what a container says of itself with results."""
        self.seen(environment, head["container"], head["age"], head["device"])
        if head["ends"]:
            self.ended(head["container"])

    def ended(self, name: str, age: float | None = None) -> None:
        """Note that a container has ended, as old as it says, or now."""
        if (container := self._containers.get(name)) is not None:
            if age is not None and age >= 0:
                container.ended = min(container.began + age, time.monotonic())
            elif container.ended is None:
                container.ended = time.monotonic()

    def all_ended(self) -> None:
        """Note that the session is over, and none of its containers left."""
        for name in self._containers:
            self.ended(name)

    @property
    def cost(self) -> Cost:
        """What they have cost until now."""
        return Cost(tuple(self._used()), self._prices.source)

    def _used(self) -> Iterable[Used]:
        now, since_1970 = time.monotonic(), time.time() - time.monotonic()
        for name, container in sorted(self._containers.items(), key=lambda each: each[1].began):
            seconds = max(0.0, (now if container.ended is None else container.ended) - container.began)
            gpu, dollars = self._prices.of(container.environment, container.device)
            price = None if dollars is None else seconds * dollars
            began = since_1970 + container.began
            yield Used(name, str(container.environment), gpu, seconds, price, began, began + seconds)
