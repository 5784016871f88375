"""A visit of the doctor: what its checks share."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_modal.run.modal.doctor.log import Log
from pytest_modal.run.modal.doctor.pulse import Pulse
from pytest_modal.run.modal.streams import Streams
from pytest_modal.run.modal.timeouts import within

_MOMENT = 2.0  # seconds
PATIENCE = 5.0  # seconds that Modal may fail for before a check says so


@dataclass(frozen=True)
class Options:
    """What the doctor is asked.

    Attributes
    ----------
    names : tuple of str
        Checks to make, besides those that all others need; empty for all.
    gpu : bool
        Whether a GPU may be used, which costs about a cent.
    seconds : float
        How long the visit may take.
    """

    names: tuple[str, ...] = ()
    gpu: bool = True
    seconds: float = 240.0


@dataclass
class Visit:
    """What is there for the checks of a visit.

    Attributes
    ----------
    ends_at : float
        When it has to be over; monotonic seconds.
    url : str
        Modal's server.
    client : modal.Client
        The client, once it is connected.
    streams : Streams
        The way of requests.
    app : modal.App
        The app, once it runs.
    describe_image : callable
        Describes its image again.
    functions : dict
        Its Functions by name.
    log : Log
        Its log.
    pulse : Pulse
        Signs of life of Modal.
    again : Counter
        Requests that the client has sent again, by what became of the first try.
    private : dict
        Names that are not for a report, with what replaces them.
    warnings : list of str
        Warnings that Modal's server has sent.
    round_trip : float
        Seconds from a request to its answer.
    """

    ends_at: float = math.inf
    url: str = ""
    client: Any = None
    streams: Streams = field(default_factory=lambda: Streams(PATIENCE))
    app: Any = None
    image: Any = None
    describe_image: Callable[[], Any] | None = None
    opened_in: float = 0.0
    functions: dict[str, Any] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    pulse: Pulse = field(default_factory=Pulse)
    again: Counter[str] = field(default_factory=Counter)
    private: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    round_trip: float = 0.0

    def at_most(self, seconds: float, leave: float = _MOMENT) -> float:
        """Return these seconds, or fewer where the visit has not so many left and some for what follows."""
        return max(0.5, min(seconds, self.ends_at - time.monotonic() - leave))

    async def spawn(self, name: str, *args: Any, **more: Any) -> Any:
        """Call one of the Functions; return the call, which runs."""
        function = self.functions[name]
        return await self.streams.request(lambda: function.spawn.aio(*args, **more))

    async def end_of(self, call: Any, seconds: float) -> End:
        """Return how a call ends, within so many seconds."""
        began, value, failure = time.monotonic(), None, None
        try:
            value = await within(self.at_most(seconds), self.streams.result(call))
        except TimeoutError:  # not Modal's, which are of a class of their own
            pass
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a container can raise anything
            failure = error
        now = time.monotonic()
        return End(now, value, failure, now - began)


@dataclass(frozen=True)
class End:
    """How a call has ended, for the client.

    Attributes
    ----------
    at : float
        When; monotonic seconds.
    value : object
        What it has returned.
    error : BaseException or None
        What the client has raised; None with a value, and where nothing came.
    waited : float
        Seconds that it was waited for.
    """

    at: float
    value: Any
    error: BaseException | None
    waited: float

    @property
    def never(self) -> bool:
        """Whether nothing came."""
        return self.value is None and self.error is None

    @property
    def told(self) -> dict[str, str]:
        """The class and the text of the exception, for the report."""
        if self.error is None:
            return {}
        return {"exception": type(self.error).__name__, "text": str(self.error)[:500]}
