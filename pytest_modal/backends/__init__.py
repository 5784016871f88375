"""Where a batch runs: one module per place, one protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pytest_modal.batch import Batch, Buffers, Outcome

Result = tuple[Outcome, Buffers]


@dataclass(frozen=True)
class Progress:
    """Something worth showing while the batch runs: a call starts, a model is loaded."""

    what: str
    label: str


@dataclass(frozen=True)
class SessionOptions:
    """How a session on Modal goes about its work.

    Attributes
    ----------
    acquire_timeout, startup_timeout, connection_timeout : float
        Seconds: without a GPU, for a container to start, without an answer from Modal.
    cache_volume : str
        Name of the Volume that keeps what the Hugging Face hub sent; empty for none.
    """

    acquire_timeout: float = 900.0
    startup_timeout: float = 900.0
    connection_timeout: float = 60.0
    cache_volume: str = "pytest-modal-huggingface"


class Backend(Protocol):
    """Takes a batch and yields outcomes as they finish.

    Attributes
    ----------
    app_id, dashboard_url : str or None
        The session on Modal, once there is one.
    """

    mode: str

    @property
    def app_id(self) -> str | None: ...
    @property
    def dashboard_url(self) -> str | None: ...

    def describe(self) -> str:
        """Say in a few words where the batch will run."""
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
            Gives the encoded result of a finished call, for the calls that take it as an argument.
        progress : callable
            Told what is going on.

        Yields
        ------
        tuple of Outcome and buffers
            The outcome and, when it is good, the encoded result.
        """
        ...
