"""What a test can make go wrong, and the gate that every request passes."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from .handle import OAUTH
from .ids import Signal
from .rpc import Caller, ResetError
from .state import Settings, World

KINDS = {
    "rpc": "an RPC answers with a status, or late, or is reset",
    "token": "every token is refused",
    "hang": "requests of clients get no answer",
    "image_build": "the next image build fails",
    "gpu": "a GPU type has no capacity, for a while or for ever",
    "substitute_gpu": "another GPU than the one asked for is given",
    "slow_start": "containers take longer to start",
    "crash_on_start": "containers die before they take an input",
    "crash": "a container is killed at its Nth input",
    "preempt": "a container is preempted at its Nth input",
    "internal_failure": "an input ends as a failure of Modal's own",
    "output": "an output is lost, given twice, garbage, hostile, swapped, or comes with one for an unknown input",
}
OUTPUTS = ("lost", "twice", "unknown", "garbage", "hostile", "swapped")

# Their `seconds` say for how long they apply, from the first time that they could; `times` may be None then.
LASTING = {"rpc", "hang", "gpu"}

# Requests by which money would be spent, and what the client says of them when they are refused.
SPENDING = {"AppCreate": "App creation failed", "FunctionMap": "Function call failed"}

# Methods that need no token.
OPEN_TO_ALL = {"TokenFlowCreate", "TokenFlowWait"}


@dataclass
class Fault:
    """One thing that is to go wrong, so many times, for the functions whose name matches."""

    kind: str
    times: int | None = 1  # None: until a reset
    options: dict[str, Any] = field(default_factory=dict)
    used: int = 0
    since: float | None = None  # when it could first apply; monotonic seconds
    awaited: bool = False  # the request that it is to come after has not come
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.option("seed", 0))
        self.awaited = self.option("once") is not None

    def option(self, name: str, default: Any = None) -> Any:
        """Return an option of the fault, or its default."""
        value = self.options.get(name)
        return default if value is None else value

    def applies(self) -> bool:
        """Whether it has begun, is not used up or over, and chance has it: asked each time that it could apply."""
        if self.awaited or (self.times is not None and self.used >= self.times):
            return False
        self.since = self.since or time.monotonic()
        if self.kind in LASTING and self.left() <= 0:
            return False
        return self.random.random() < float(self.option("share", 1.0))

    def left(self) -> float:
        """Return the seconds for which it still applies."""
        return float((self.since or time.monotonic()) + self.option("seconds", math.inf) - time.monotonic())


class Faults:
    """The faults that are set, and what uses them up."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.changed = Signal()

    def add(self, kind: str, times: int | None, options: dict[str, Any]) -> None:
        """Set a fault."""
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(KINDS)}")
        if kind == "output" and options.get("how") not in OUTPUTS:
            raise ValueError(f"an output can be {', '.join(OUTPUTS)}, not {options.get('how')!r}")
        if kind == "rpc" and "rpc" not in options:
            options = {"plane": "client", **options}  # what hits all of them is the network of the client
        self.active.append(Fault(kind, times, options))
        self.changed.notify()

    def clear(self) -> None:
        """Forget all faults, and let go whoever hangs on one."""
        self.active.clear()
        self.changed.notify()

    def heard(self, rpc: str) -> None:
        """Have those faults begin that were to come after this request."""
        for fault in self.active:
            fault.awaited = fault.awaited and fault.option("once") != rpc

    def find(self, kind: str, *, function: str = "", **equal: Any) -> Fault | None:
        """Return the first fault of a kind that still applies, without using it up."""
        equal["function"] = function
        for fault in self.active:
            if fault.kind != kind or any(fault.option(name, value) != value for name, value in equal.items()):
                continue
            if fault.applies():
                return fault
        return None

    def take(self, kind: str, *, function: str = "", **equal: Any) -> Fault | None:
        """Return the first fault of a kind that still applies, and count it as used."""
        fault = self.find(kind, function=function, **equal)
        if fault is not None:
            fault.used += 1
        return fault


class Gate:
    """Authentication and the faults that concern requests as such."""

    def __init__(self, faults: Faults, world: World, settings: Settings) -> None:
        self.faults = faults
        self.world = world
        self.settings = settings

    async def admit(self, name: str, caller: Caller) -> Exception | None:
        """Let a request through, keep it waiting, or refuse it the way Modal does.

        Returns
        -------
        Exception or None
            How the request is to end after it was carried out.
        """
        await asyncio.sleep(self.settings.latency if caller.is_client else self.settings.container_latency)
        if caller.plane == "container":
            self._check_container(name, caller)
        elif caller.plane == "input":
            self._check_input_plane(caller)
        else:
            await self._hang()
            self._check_token(name, caller)
        failure = None
        if fault := self.faults.take("rpc", rpc=name, plane="client" if caller.is_client else "container"):
            await asyncio.sleep(fault.option("delay", 0.0))
            failure = _failure(fault)
            if failure is not None and not fault.option("done"):
                raise failure
        self.faults.heard(name)
        return failure

    async def _hang(self) -> None:
        fault = self.faults.find("hang")
        if fault is not None:
            await self.faults.changed.until(lambda: fault not in self.faults.active, min(fault.left(), 3600.0))

    def _check_token(self, name: str, caller: Caller) -> None:
        if name in OPEN_TO_ALL:
            return
        if "x-modal-refresh-token" in caller.metadata:
            if self.faults.take("token") or any(caller.metadata.get(key) != value for key, value in OAUTH.items()):
                raise GRPCError(Status.UNAUTHENTICATED, "OAuth refresh token is invalid, expired or revoked.")
            return
        token_id = caller.metadata.get("x-modal-token-id", "")
        secret = caller.metadata.get("x-modal-token-secret", "")
        if not token_id or not secret:
            raise GRPCError(Status.UNAUTHENTICATED, "Token missing. Could not authenticate client.")
        if self.faults.take("token") or self.world.tokens.get(token_id) != secret:
            raise GRPCError(
                Status.UNAUTHENTICATED,
                "Token ID is malformed or the token is invalid or revoked: run `modal token new`.",
            )

    def _check_container(self, name: str, caller: Caller) -> None:
        for header in ("x-modal-token-id", "x-modal-token-secret"):
            if header in caller.metadata:
                self.world.errors.append(f"{name}: a container sent {header}")
                raise GRPCError(Status.FAILED_PRECONDITION, f"a container must not send {header}")

    def _check_input_plane(self, caller: Caller) -> None:
        """Ask clients for the token of `AuthTokenGet`; containers are known by their header."""
        if not caller.task_id and not caller.metadata.get("x-modal-token-id"):
            raise GRPCError(Status.UNAUTHENTICATED, "Token missing. Could not authenticate client.")


def _failure(fault: Fault) -> Exception | None:
    """Return how a request ends; None when it was only to be late."""
    if fault.option("reset"):
        return ResetError()
    status = fault.option("status")
    if status is None:
        return None
    details: list[Message] = []
    if (retry_after := fault.option("retry_after")) is not None:
        details.append(api_pb2.RPCRetryPolicy(retry_after_secs=retry_after))
    return GRPCError(Status[status], fault.option("message", f"loopback fault: {status}"), details)
