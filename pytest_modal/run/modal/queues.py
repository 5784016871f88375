"""The calls of one environment: which wait, which were sent, what each pack of them is sent with."""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pytest_modal.batch.calls import Call, Container, FromCall
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote import data
from pytest_modal.remote.compression import compressed, decompressed
from pytest_modal.remote.framing import Pack, PackReply, messages_in
from pytest_modal.run.dispatch import Dispatch
from pytest_modal.run.modal.app import PACK_SECONDS, Service
from pytest_modal.run.modal.errors import InfrastructureError
from pytest_modal.store.shapes import check_shape

PACKS_PER_CONTAINER = 2  # one runs, one waits
MOST_CALLS = 2_000  # of a pack
MOST_BYTES = 2 << 20  # of a pack, unless one call is larger
_REQUEST = 700  # bytes of a call without its arguments, about
SMALL = 4096  # bytes: what is smaller is sent with each pack
_run_id, _numbers = secrets.token_hex(4), itertools.count(1)


@dataclass(eq=False)
class SentPack:
    """Calls that are sent together.

    Attributes
    ----------
    id : str
        Names it in the app's log.
    alone : bool
        Whether it is tried again, after its container has ended.
    last : bool
        Whether the environment has no other calls.
    call : modal.FunctionCall or None
        The pack on Modal.
    seen_at : float
        When it was sent, or a container has last reported about it; monotonic seconds.
    returned_at : float or None
        When its container reported that it had returned its results.
    verdict : exception or None
        What becomes of it without an answer of Modal.
    """

    calls: list[Call]
    alone: bool = False
    last: bool = False
    id: str = field(default_factory=lambda: f"{_run_id}-{next(_numbers)}")
    call: Any = None
    seen_at: float = field(default_factory=time.monotonic)
    returned_at: float | None = None
    verdict: Exception | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)

    def give_up(self, verdict: Exception) -> None:
        """Wait for it no longer."""
        self.verdict = self.verdict or verdict
        self.decided.set()


@dataclass
class EnvironmentQueue:
    """One environment of a running session.

    Attributes
    ----------
    waiting : deque of Call
        In order; the first is sent as soon as what it depends on is done.
    suspects : deque of Call
        Those whose container has ended: they are tried again, each alone, before anything else is sent.
    moved : asyncio.Event
        Set when something has changed for those that wait.
    pack_seconds : float
        Seconds of work that make a pack.
    out : list of SentPack
        Those that were sent and have not come back.
    sending : set of SentPack
        Those that have not reached Modal's queue yet. They can overtake each other, so they must be independent.
    known : set
        Functions and container fixtures that every container has, as far as can be known.
    whole : set of str
        Calls that a container has requested more for: they are sent with everything.
    seen_at : float
        When one of its containers last reported, or something was sent to none; monotonic seconds.
    fallen : dict
        By call, the containers that ended under it.
    scheduling : str
        What Modal says of the container that it waits for.
    falls : int
        How many calls have taken their container along since the last reply.
    """

    service: Service
    waiting: deque[Call]
    moved: asyncio.Event
    pack_seconds: float = PACK_SECONDS
    suspects: deque[Call] = field(default_factory=deque)
    out: list[SentPack] = field(default_factory=list)
    sending: set[SentPack] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    whole: set[str] = field(default_factory=set)
    seen_at: float = 0.0
    failure: InfrastructureError | None = None
    fallen: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    scheduling: str = ""
    falls: int = 0
    _handle: Any = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _in_order: set[str] = field(default_factory=set)
    _starts: set[str] = field(default_factory=set)
    _turn: SentPack | None = None
    _seconds: dict[str, float] = field(default_factory=dict)
    _holders: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        # The first call that uses a container fixture brings it, the last one has it released. The last of all has the
        # container end.
        calls = list(self.waiting)
        last_users = {key: call.key for call in calls for key in call.containers}
        self._starts = {after.key for before, after in pairwise(calls) if before.containers != after.containers}
        self._in_order = self._starts | set(last_users.values()) | {call.key for call in calls[:1] if call.containers}
        self._in_order |= {call.key for call in calls[-1:]}

    def next(self, takes: Callable[[Call], bool]) -> SentPack | None:
        """Take the first calls in line, if they may be sent.

        They wait for what they need, and the others wait behind them: in this order each model is built once. The first
        unfinished call of the whole batch never waits for another, so there is no deadlock.

        Parameters
        ----------
        takes : callable
            Whether a call can run now: all that it depends on has a result.
        """
        if self.suspects or any(pack.alone for pack in self.out):
            pack = self._next_suspect(takes)
        elif len(self.out) >= PACKS_PER_CONTAINER * self.service.environment.max_containers:
            pack = None
        else:
            pack = self._next_pack(takes)
        if pack is not None:
            if not self.out:
                # The time without a GPU counts from here on, not from the start of the machine.
                self.seen_at = time.monotonic()
            self.out.append(pack)
            self.sending.add(pack)
        return pack

    def _next_suspect(self, takes: Callable[[Call], bool]) -> SentPack | None:
        if self.out or not self.suspects or not takes(self.suspects[0]):
            return None
        return SentPack([self.suspects.popleft()], alone=True)

    def _next_pack(self, takes: Callable[[Call], bool]) -> SentPack | None:
        if self._turn in self.sending:
            return None
        # What comes back of a pack would be overtaken by what was sent behind it.
        settled = not self.sending and all(len(pack.calls) == 1 for pack in self.out)
        taken: list[Call] = []
        seconds, size, ordered = 0.0, 0, False
        # Each container gets its share.
        most = min(MOST_CALLS, math.ceil(len(self.waiting) / self.service.environment.max_containers))
        while self.waiting and len(taken) < most and takes(self.waiting[0]):
            call = self.waiting[0]
            estimate = self._seconds.get(call.function.key, self.pack_seconds)
            seconds, size = seconds + estimate, size + call.payload_bytes + _REQUEST
            # As near to so many seconds as whole calls come.
            full = seconds - estimate / 2 > self.pack_seconds
            if taken and (full or size > MOST_BYTES or call.key in self._starts):
                break
            if call.key in self._in_order:
                if not settled:
                    break
                ordered = True
            taken.append(self.waiting.popleft())
        if not taken:
            return None
        pack = SentPack(taken, last=settled and not self.waiting)
        self._turn = pack if ordered else None
        return pack

    @property
    def gpus(self) -> int:
        """How many GPUs its containers have."""
        environment, calls = self.service.environment, len(self.waiting) + sum(len(pack.calls) for pack in self.out)
        return environment.gpus * min(environment.max_containers, calls)

    def sent(self, pack: SentPack) -> None:
        """Note that a pack has reached Modal's queue, or won't."""
        self.sending.discard(pack)
        self.moved.set()

    def back(self, pack: SentPack, left: Sequence[Call]) -> None:
        """Note that a pack is back; the calls of it that are left go first."""
        self.out.remove(pack)
        self.waiting.extendleft(reversed(left))
        self.sent(pack)

    async def handle(self) -> Any:
        """Return the handle that takes packs."""
        async with self._opening:
            if self._handle is None:
                handle = self.service.instance().run
                # Otherwise each of the first packs would look it up on Modal.
                await handle.hydrate.aio()
                self._handle = handle
        return self._handle

    def sign_of_life(self) -> None:
        """Note that a container has reported."""
        self.seen_at = time.monotonic()

    def measured(self, calls: Sequence[Call], spent: Sequence[float]) -> None:
        """Note the seconds that calls took: so many of the same function make a pack."""
        by_function: defaultdict[str, list[float]] = defaultdict(list)
        for call, seconds in zip(calls, spent, strict=True):
            by_function[call.function.key].append(seconds)
        for key, seen in by_function.items():
            self._seconds[key] = sum(seen) / len(seen)

    def payload(self, pack: SentPack, dispatch: Dispatch) -> bytes:
        """Return the message that runs a pack; a container that lacks something requests it."""
        environment = self.service.environment
        known = (
            set[str]() if pack.alone or not self.whole.isdisjoint(call.key for call in pack.calls) else {*self.known}
        )
        requests = []
        for call in pack.calls:
            requests.append(dispatch.request(call, known))
            containers = dispatch.containers(call)
            known.update(_shared(call, containers))
            if environment.max_containers == 1:
                # Packs arrive in order at the only container: those behind this one can rely on it.
                self.known.update(_heavy(call, containers))
        message: Pack = {
            "id": pack.id,
            "calls": requests,
            "timeout": environment.timeout,
            "retries": environment.retries,
            "seconds": self.pack_seconds,
            "alone": pack.alone,
            "last": pack.last,
        }
        return compressed(data.encode(message, where="request"))

    def loaded(self, outcome: Outcome) -> None:
        """Note which container has built which fixtures; a fixture that all have is known."""
        for load in outcome.loads:
            self._holders[load.key].add(outcome.container)
            if len(self._holders[load.key]) == self.service.environment.max_containers:
                self.known.add(load.key)

    def crashed(self) -> None:
        """Forget what containers have: a new one has nothing."""
        self.known.clear()
        self._holders.clear()


def _shared(call: Call, containers: Sequence[Container]) -> Iterator[str]:
    for node in (call, *containers):
        yield node.function.key
        yield from (text.key for text in node.modules)
    yield from (container.key for container in containers)


def _heavy(call: Call, containers: Sequence[Container]) -> Iterator[str]:
    for node in (call, *containers):
        if len(node.function.payload) > SMALL:
            yield node.function.key
        yield from (text.key for text in node.modules if len(text.payload) > SMALL)
    for container in containers:
        if container.payload_bytes > SMALL or container.references(FromCall):
            yield container.key


def read_reply(reply: bytes, pack: SentPack) -> tuple[PackReply, list[tuple[Any, bytes]]]:
    """Return the parts of a pack's reply: whose the replies are, and each with its encoded result.

    Raises
    ------
    CorruptDataError
        It is not a reply, or not one to this pack.
    """
    try:
        (head, _), *replies = [*messages_in(decompressed(reply))] or [(None, b"")]
        check_shape(head, PackReply, "reply")
    except data.CorruptDataError as error:
        raise data.CorruptDataError(f"a container sent something that is not a reply: {error}") from None
    if head["pack"] != pack.id or not {*head["keys"]} <= {call.key for call in pack.calls}:
        raise data.CorruptDataError("a container sent the reply to other calls")
    if not len({*head["keys"]}) == len(head["keys"]) == len(head["spent"]) == len(replies):
        raise data.CorruptDataError("a container sent several replies to a call, or none")
    return head, replies
