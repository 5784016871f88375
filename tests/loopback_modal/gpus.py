"""Who gets which GPU: the choices of a function, what there is of each, and the workspace's limit."""

from __future__ import annotations

import time

from .faults import Faults
from .logs import Journal
from .state import Container, Function, Settings, World

LOOK_AGAIN = 0.05  # seconds
FIRST_WORD, NEXT_WORD = 1.0, 5.0  # seconds of waiting until the log says so, and again


class Gpus:
    """Gives GPUs to containers, which hold them until they end."""

    def __init__(self, world: World, settings: Settings, faults: Faults, journal: Journal) -> None:
        self.world = world
        self.settings = settings
        self.faults = faults
        self.journal = journal

    async def acquire(self, container: Container) -> bool:
        """Wait for a GPU from the function's list; False when the container is not wanted any more."""
        function, begun = container.function, time.monotonic()
        while function.gpus and not container.gpu and not container.draining:
            rank = next((rank for rank, gpu in enumerate(function.gpus) if self._is_to_be_had(gpu)), None)
            if rank is None:
                self._tell(function, begun)
                await container.changed.until(lambda: container.draining, LOOK_AGAIN)
            else:
                container.gpu = self._substitute(function.gpus[rank])
                container.definition = (function.ranked or [function.definition])[rank]
        return not container.draining

    def _is_to_be_had(self, gpu: str) -> bool:
        limit, used = self.settings.gpu_limit, 0
        if limit is not None:
            holders = (container for container in self.world.containers.values() if container.ended_at is None)
            used = sum(_count(container.gpu) for container in holders if container.gpu)
        return (limit is None or used + _count(gpu) <= limit) and not self.faults.find("gpu", gpu=_kind(gpu))

    def _tell(self, function: Function, begun: float) -> None:
        """Say in the log that a function waits, in the words that users of Modal have reported."""
        now = time.monotonic()
        if now < begun + FIRST_WORD or now < function.wait_noted_at + NEXT_WORD:
            return
        function.wait_noted_at = now
        kind = _kind(function.gpus[0]).rstrip("!+").replace("-", "_")
        text = f"Function `{function.name}` ({function.id}) is waiting to be scheduled on a GPU_{kind} worker."
        self.journal.tell(function, f"{text} We are actively working on acquiring capacity.\n")

    def _substitute(self, gpu: str) -> str:
        kind, colon, count = gpu.partition(":")
        fault = self.faults.take("substitute_gpu", gpu=kind)
        return f"{fault.options['given']}{colon}{count}" if fault else gpu


def _kind(gpu: str) -> str:
    return gpu.partition(":")[0]


def _count(gpu: str) -> int:
    return int(gpu.partition(":")[2] or 1)
