"""Limits of a run: GPUs that are used at once, dollars, requests on one connection. Its sessions share them."""

from __future__ import annotations

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.cost import Cost
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.prices import Prices
from pytest_modal.declare.settings import SessionOptions
from pytest_modal.run.modal import errors
from pytest_modal.run.modal.app_log import Sightings
from pytest_modal.run.modal.containers import Containers
from pytest_modal.run.modal.errors import InfrastructureError
from pytest_modal.run.modal.queues import EnvironmentQueue
from pytest_modal.run.modal.streams import Streams

OPEN_BESIDE = 3  # requests of each session: the heartbeats of its app, its log, and what watches the connection
FEWEST = 8  # requests that are left for results


class Limits:
    """What the sessions of a run know of each other.

    Parameters
    ----------
    batch : Batch
        What all of them have to do.
    timings : Timings
        Those of earlier runs.

    Attributes
    ----------
    streams : Streams
        The requests of all sessions.
    """

    def __init__(self, batch: Batch, options: SessionOptions, timings: Timings) -> None:
        self._batch = batch
        self._options = options
        self._timings = timings
        self._prices = Prices(options.prices)
        self._queues: list[tuple[EnvironmentQueue, Sightings]] = []
        self._containers: list[Containers] = []
        self._reached: InfrastructureError | None = None
        others = OPEN_BESIDE * (len(batch.sessions) - 1)
        self.streams = Streams(options.connection_timeout, max(FEWEST, options.facts.streams - others))

    # Dollars.

    def containers(self) -> Containers:
        """Return where a session notes its containers, which are paid for."""
        containers = Containers(self._prices)
        self._containers.append(containers)
        return containers

    @property
    def cost(self) -> Cost:
        """What all sessions have cost until now."""
        return sum((each.cost for each in self._containers), Cost((), self._prices.source))

    def check_estimate(self) -> None:
        """Refuse a batch that would cost too much.

        Raises
        ------
        InfrastructureError
            It is estimated to cost more than a run may.
        """
        limit = self._options.max_cost
        if limit is not None and (estimate := self._prices.estimate(self._batch, self._timings)).dollars > limit:
            raise errors.too_expensive(estimate, limit)

    def reached(self) -> InfrastructureError | None:
        """Return the error that ends the sessions, the same for all, once they have cost as much as they may."""
        limit = self._options.max_cost
        if self._reached is None and limit is not None and self.cost.dollars >= limit:
            self._reached = errors.cost_reached(self.cost, limit)
        return self._reached

    # GPUs.

    def add(self, queue: EnvironmentQueue, sightings: Sightings) -> None:
        """Let an environment take part, with what the log of its app says."""
        self._queues.append((queue, sightings))

    def has_room(self, queue: EnvironmentQueue) -> bool:
        """Whether the GPUs of an environment are free: those that work have theirs, and the others wait their turn.

        One without packs holds none, so that environments that wait for each other's results can't block each other.
        """
        wanted, working = queue.gpus, [each for each, _ in self._queues if each.out]
        used = sum(each.gpus for each in working)
        fits = not used or used + wanted <= self._options.max_gpus
        return fits or not wanted or any(each is queue for each in working)

    def freed(self) -> None:
        """Wake those that wait their turn, in all sessions."""
        for queue, _ in self._queues:
            queue.moved.set()

    def are_used(self) -> bool:
        """Whether a container has begun with anything: what has not may wait for a GPU that another one has."""
        return any(sightings.has_begun(pack.id) for queue, sightings in self._queues for pack in queue.out)
