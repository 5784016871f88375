"""The GPUs of a run: its sessions share them, so that together they use no more than they may."""

from __future__ import annotations

from pytest_modal.run.modal.app_log import Sightings
from pytest_modal.run.modal.queues import EnvironmentQueue


class Gpus:
    """What the sessions of a run know of each other.

    Parameters
    ----------
    most : int
        How many GPUs may be used at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: list[tuple[EnvironmentQueue, Sightings]] = []

    def add(self, queue: EnvironmentQueue, sightings: Sightings) -> None:
        """Take part in what is shared, with what the app's log of its session says."""
        self._queues.append((queue, sightings))

    def has_room(self, queue: EnvironmentQueue) -> bool:
        """Whether the GPUs of an environment are free: those that work have theirs, and the others wait their turn.

        One without packs holds none, so that environments that wait for each other's results can't block each other.
        """
        wanted, working = queue.gpus, [each for each, _ in self._queues if each.out]
        used = sum(each.gpus for each in working)
        return not wanted or any(each is queue for each in working) or not used or used + wanted <= self._most

    def freed(self) -> None:
        """Wake those that wait their turn, in all sessions."""
        for queue, _ in self._queues:
            queue.moved.set()

    def are_used(self) -> bool:
        """Whether a container has begun with anything: what has not may wait for a GPU that another one has."""
        return any(sightings.has_begun(pack.id) for queue, sightings in self._queues for pack in queue.out)
