"""Steps of a session, one after the other: shown when they begin, and measured for the run's record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pytest_modal.batch.outcomes import Event, Phase, Progress


@dataclass(frozen=True)
class Step:
    """What the record calls it, and the phase that is shown meanwhile."""

    name: str
    phase: Phase


CONNECTING = Step("connecting", "connecting")
IMAGES = Step("images and start", "building images")
WAITING = Step("waiting for a container", "starting containers")
CLOSING = Step("closing", "closing")


class Steps:
    """Measures the steps of a session.

    Parameters
    ----------
    of : str
        Which session it is, where there are several: " of round 2".
    progress : callable
        Called with each event to show.

    Attributes
    ----------
    events : list of Event
        Those that have ended.
    """

    def __init__(self, of: str, progress: Callable[[Progress], None]) -> None:
        self.events: list[Event] = []
        self._of = of
        self._progress = progress
        self._running: tuple[Step, float] | None = None

    def begin(self, step: Step, what: str = "", label: str = "", *, stays: bool = False) -> None:
        """Begin a step, which ends the one before; see `Progress` for its words."""
        self.end()
        self._running = step, time.time()
        self._progress(Progress(what, label, stays=stays, phase=step.phase))

    def end(self, only: Step | None = None) -> None:
        """End the step that runs, or only this one."""
        if self._running is None or only not in (None, self._running[0]):
            return
        step, started = self._running
        self._running = None
        self.events.append(Event(f"{step.name}{self._of}", started, max(0.0, time.time() - started)))
