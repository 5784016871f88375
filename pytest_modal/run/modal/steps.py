"""Steps of a session, one after the other: connecting, images, waiting; for the run's record."""

from __future__ import annotations

import time

from pytest_modal.batch.outcomes import Event

CONNECTING = "connecting"
IMAGES = "images and start"
WAITING = "waiting for a container"
CLOSING = "closing"


class Steps:
    """Measures the steps of a session.

    Parameters
    ----------
    of : str
        Which session it is, where there are several: " of round 2".

    Attributes
    ----------
    events : list of Event
        Those that have ended.
    """

    def __init__(self, of: str) -> None:
        self.events: list[Event] = []
        self._of = of
        self._running: tuple[str, float] | None = None

    def begin(self, what: str) -> None:
        """Begin a step, which ends the one before."""
        self.end()
        self._running = what, time.time()

    def end(self, only: str | None = None) -> None:
        """End the step that runs, or only this one."""
        if self._running is None or only not in (None, self._running[0]):
            return
        what, started = self._running
        self._running = None
        self.events.append(Event(f"{what}{self._of}", started, max(0.0, time.time() - started)))
