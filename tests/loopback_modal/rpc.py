"""From a method of a service area to a gRPC handler of `modal_proto.api_grpc.ModalClientBase`.

A service area is a plain class; `@rpc("AppCreate")` marks the coroutine (or, for a streaming RPC, the async
generator) that answers it. What no area answers is UNIMPLEMENTED, and counted: tests assert that nothing is.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote

import grpclib.const
import grpclib.events
from google.protobuf.message import Message
from grpclib import GRPCError, Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.encoding.proto import ProtoCodec
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream
from h2.settings import SettingCodes
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase

from .state import Settings, World

F = TypeVar("F", bound=Callable[..., Any])

# A client that lost its connection sends these again under the same key: they must not happen twice.
ONCE = {
    "AppCreate",
    "AttemptRetry",
    "AttemptStart",
    "ClassCreate",
    "FunctionCreate",
    "FunctionMap",
    "FunctionPrecreate",
    "FunctionPutInputs",
    "FunctionRetryInputs",
    "MapStartOrContinue",
    "SecretGetOrCreate",
}

# What the input plane answers; everything else goes to the control plane, blobs included.
INPUT_PLANE = {
    "AttemptAwait",
    "AttemptRetry",
    "AttemptStart",
    "FunctionCallCancel",
    "FunctionCallGetDataIn",
    "FunctionCallGetDataOut",
    "FunctionCallPutDataOut",
    "MapAwait",
    "MapCheckInputs",
    "MapStartOrContinue",
}


def rpc(name: str) -> Callable[[F], F]:
    """Mark a method as the answer to the RPC `name`."""

    def mark(function: F) -> F:
        function.__rpc__ = name  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Caller:
    """Who sent a request: a client with a token, or one of our containers."""

    plane: str  # "client", "container" or "input"
    metadata: Mapping[str, str]

    @property
    def task_id(self) -> str:
        """The container, from the header that every container is started with; empty for a client."""
        return self.metadata.get("x-loopback-task", "")

    @property
    def is_client(self) -> bool:
        """Whether it isn't a container, which calls through the input plane too."""
        return self.plane != "container" and not self.task_id


class ResetError(Exception):
    """The stream of a request is to be reset: the client gets no answer, not even a status."""


class Gate(Protocol):
    """Decides, before anything else, whether a request gets through."""

    async def admit(self, name: str, caller: Caller) -> Exception | None:
        """Return, wait, or raise; what is returned is raised after the request was carried out."""


class Servicer(ModalClientBase):
    """All areas behind one port."""

    def __init__(self, areas: Iterable[object], world: World, gate: Gate, plane: str, settings: Settings) -> None:
        self.settings = settings
        self.plane = plane
        self._world = world
        self._gate = gate
        self._once: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._answers: dict[str, Callable[..., Any]] = {}
        for area in areas:
            for _, method in inspect.getmembers(area, inspect.ismethod):
                name = getattr(method, "__rpc__", None)
                if name and (plane != "input" or name in INPUT_PLANE):
                    self._answers[name] = method

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        """Return the handlers for grpclib: every RPC of the service, known or not."""
        return {
            path: handler._replace(func=self._handler(path.rsplit("/", 1)[1]))
            for path, handler in super().__mapping__().items()
        }

    def _handler(self, name: str) -> Callable[[Any], Any]:
        async def handle(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            caller = Caller(self.plane, cast(Mapping[str, str], stream.metadata or {}))
            with self._counted(name, caller):
                try:
                    await self._answer(name, request, caller, stream)
                except ResetError:
                    await stream.cancel()

        return handle

    @contextlib.contextmanager
    def _counted(self, name: str, caller: Caller) -> Iterator[None]:
        """Keep count of the requests of clients that are being answered at once: each is an open stream."""
        if not caller.is_client:
            yield
            return
        now, most = self._world.open_rpcs, self._world.most_rpcs
        for each in ("", name):
            now[each] += 1
            most[each] = max(most[each], now[each])
        if any(app.published and not app.stopped for app in self._world.apps.values()):
            running = self._world.most_rpcs_of_running_apps
            running[""] = max(running[""], now[""])
        try:
            yield
        finally:
            now.subtract(("", name))

    async def _answer(self, name: str, request: Any, caller: Caller, stream: Stream[Any, Any]) -> None:
        failure = await self._gate.admit(name, caller)
        world = self._world
        answer = self._answers.get(name)
        if answer is None:
            world.unknown[f"{name} ({self.plane})"] += 1
            raise GRPCError(Status.UNIMPLEMENTED, f"The loopback server doesn't know {name} here")
        world.rpcs[name] += 1
        try:
            if inspect.isasyncgenfunction(answer):
                stream_of = cast(AsyncIterator[Any], answer(request, caller))
                async for message in stream_of:
                    await stream.send_message(message)
            else:
                message = await self._unary(name, answer, request, caller)
                if failure is not None:
                    raise failure
                if "server_warnings" in message.DESCRIPTOR.fields_by_name:
                    del message.server_warnings[:]  # an answer may be given twice
                    message.server_warnings.extend(api_pb2.Warning(message=text) for text in self.warnings)
                await stream.send_message(message)
        except (GRPCError, ResetError, ConnectionError):
            raise
        except Exception as error:  # a mistake of the server: fail the test, and keep the traceback
            world.errors.append(f"{name}: {traceback.format_exc()}")
            raise GRPCError(Status.FAILED_PRECONDITION, f"loopback server, {name}: {error!r}") from error

    @property
    def warnings(self) -> Sequence[str]:
        """What is told with every answer; containers are spared."""
        return () if self.plane == "container" else self.settings.server_warnings

    async def _unary(self, name: str, answer: Callable[..., Any], request: Any, caller: Caller) -> Any:
        key = caller.metadata.get("x-idempotency-key", "")
        if name not in ONCE or not key:
            return await answer(request, caller)
        future = self._once.get((name, key))
        if future is None:
            future = self._once[(name, key)] = asyncio.ensure_future(answer(request, caller))
            if len(self._once) > 10_000:
                self._once.pop(next(iter(self._once)))
        return await asyncio.shield(future)


Servicer.__abstractmethods__ = frozenset()


class Details(StatusDetailsCodecBase):
    """Writes the details of an error the way the client reads them, such as when to try again."""

    def encode(self, status: Status, message: str | None, details: Sequence[Message] | None) -> bytes:
        """Return the trailer's bytes."""
        answer = api_pb2.RPCStatus(code=status.value, message=message or "")
        for detail in details or ():
            answer.details.add().Pack(detail, type_url_prefix="type.modal.com/")
        return bytes(answer.SerializeToString())

    def decode(self, status: Status, message: str | None, data: bytes) -> Any:
        """Clients send none."""
        raise NotImplementedError


class Listener(Server):
    """A gRPC port whose connections can be cut, and that can refuse new ones for a while."""

    def __init__(self, servicer: Servicer) -> None:
        super().__init__([servicer], codec=ProtoCodec(), status_details_codec=Details())
        self._servicer = servicer
        self._protocols: list[H2Protocol] = []
        self.refusing = False
        self.port = 0
        grpclib.events.listen(self, grpclib.events.SendTrailingMetadata, self._warn)

    async def _warn(self, event: grpclib.events.SendTrailingMetadata) -> None:
        """Add warnings to the end of an answer, also of one that is an error."""
        for text in self._servicer.warnings:
            event.metadata.add("x-modal-warning", quote(text))

    async def open(self) -> int:
        """Listen on a free port of 127.0.0.1, and return it."""
        await self.start("127.0.0.1", 0)
        self.port = cast(asyncio.Server, self._server).sockets[0].getsockname()[1]
        return self.port

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        made = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            if self.refusing:
                cast(asyncio.Transport, transport).abort()
                transport.close()
            made(transport)
            connection = protocol.connection
            connection._connection.update_settings(
                {SettingCodes.MAX_CONCURRENT_STREAMS: self._servicer.settings.streams}
            )
            connection.flush()

        protocol.connection_made = connection_made  # type: ignore[method-assign]
        self._protocols = [*(p for p in self._protocols if p.handler is not None), protocol][-500:]
        return protocol

    def cut(self) -> None:
        """Drop every connection, in the middle of whatever it does."""
        for protocol in self._protocols:
            transport = getattr(getattr(protocol, "connection", None), "_transport", None)
            if transport is not None and not transport.is_closing():
                transport.abort()
        self._protocols.clear()
