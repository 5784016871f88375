"""The protocol of backends: one module per place where a batch runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pytest_modal.batch.calls import Batch, Buffers
from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.outcomes import App, Event, Outcome, Progress
from pytest_modal.remote.framing import Teardown

Result = tuple[Outcome, Buffers]


class Backend(Protocol):
    """Takes a batch and yields outcomes as they finish.

    Attributes
    ----------
    apps : sequence of App
        The sessions on Modal, once there are any.
    cost : Cost or None
        What their containers have cost, if that has to be paid.
    notes : sequence of str
        What users should know of them afterwards.
    teardowns : sequence of Teardown
        What went wrong after the ``yield`` of container fixtures.
    containers : sequence of Used
        The processes that have run calls, with their time.
    events : sequence of Event
        Steps of the run that belong to none of them.
    """

    mode: str

    @property
    def apps(self) -> Sequence[App]: ...
    @property
    def cost(self) -> Cost | None: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def teardowns(self) -> Sequence[Teardown]: ...
    @property
    def containers(self) -> Sequence[Used]: ...
    @property
    def events(self) -> Sequence[Event]: ...

    def describe(self) -> str:
        """Return in a few words where the batch will run."""
        ...

    def run(
        self, batch: Batch, results: Callable[[str], bytes], progress: Callable[[Progress], None]
    ) -> Iterator[Result]:
        """Run the batch.

        Parameters
        ----------
        batch : Batch
            Calls in order; those that a call depends on come before it.
        results : callable
            Returns the encoded result of a finished call, for the calls that take it as an argument.
        progress : callable
            Called with each event to show.

        Yields
        ------
        tuple of Outcome and buffers
            The outcome and, if it is ok, the encoded result.
        """
        ...
