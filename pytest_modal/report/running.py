"""The state of a running batch, from which its progress is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from pytest_modal.batch.cost import Cost
from pytest_modal.batch.outcomes import Outcome, Phase, Progress
from pytest_modal.batch.quantities import rough
from pytest_modal.wording import count, safe_line

_PHASES: tuple[str, ...] = get_args(Phase)


@dataclass
class Container:
    """A container, and what it does.

    Attributes
    ----------
    where : str
        Its environment in a word or two; empty on this machine.
    does : str
        What it works on; empty while it waits for calls.
    key : str
        Of that call.
    since : float
        When it began with that.
    """

    where: str
    since: float
    does: str = ""
    key: str = ""


class Running:
    """A batch that runs.

    Parameters
    ----------
    total : int
        How many calls it has.
    cost : callable
        Returns what its containers have cost so far, where they cost something.
    expected : float or None
        Seconds from the first container to the end, by earlier runs.
    """

    def __init__(
        self, total: int, cost: Callable[[], Cost | None] = lambda: None, expected: float | None = None
    ) -> None:
        self.total = total
        self.done = self.failed = self.loads = 0
        self.phase: Phase = ""
        self.started = time.monotonic()
        self.containers: dict[str, Container] = {}
        self._cost = cost
        self._expected = expected
        self._up_since: float | None = None
        self._ended = set[str]()

    def progress(self, event: Progress) -> None:
        """Take in an event."""
        if event.phase:
            self._enter(event.phase)
        if event.kind == "down":
            self._ended.add(event.container)
            self.containers.pop(event.container, None)
        # What a container reported may be heard after its end.
        elif event.kind and event.container and event.container not in self._ended:
            self._follow(event)

    def _follow(self, event: Progress) -> None:
        now = time.monotonic()
        self._up_since = now if self._up_since is None else self._up_since
        container = self.containers.setdefault(event.container, Container(event.where, now))
        if event.kind in ("load", "call"):
            self._enter("running")
            label = safe_line(event.label)
            does = label if event.what == "running" else f"{event.what.rstrip(':')} {label}"
            if (does, event.key) != (container.does, container.key):
                container.does, container.key, container.since = does, event.key, now
        elif event.kind == "idle":
            container.does = container.key = ""

    def outcome(self, outcome: Outcome) -> None:
        """Take in an outcome."""
        self._enter("running")
        self.done += 1
        self.failed += outcome.failed
        self.loads += len(outcome.loads)
        for container in self.containers.values():
            if container.key == outcome.key:
                container.does = container.key = ""

    def _enter(self, phase: Phase) -> None:
        # Several sessions each have their own phases: what counts is the last one that any has reached.
        if phase == "closing" and self.done < self.total:
            return
        if _PHASES.index(phase) > _PHASES.index(self.phase):
            self.phase = phase

    @property
    def busy(self) -> list[Container]:
        """The containers that work on something, those that have for the longest time first."""
        return sorted((each for each in self.containers.values() if each.does), key=lambda each: each.since)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    @property
    def cost(self) -> Cost | None:
        """What it has cost so far."""
        return self._cost()

    @property
    def left(self) -> str:
        """How long it will still take, by earlier runs; empty where that isn't known."""
        if self._expected is None or self._up_since is None or self.done >= self.total or self.phase == "stopping":
            return ""
        seconds = self._expected - (time.monotonic() - self._up_since)
        return f"about {rough(seconds)} left" if seconds > 0 else "longer than last time"

    @property
    def counts(self) -> list[str]:
        """How many calls are done, failed, and how many models were loaded; what there is none of is left out."""
        counts = [f"{self.done:,}/{count(self.total, 'call')}"]
        counts += [f"{self.failed:,} failed"] if self.failed else []
        counts += [count(self.loads, "model load")] if self.loads else []
        return counts
