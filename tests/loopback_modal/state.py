"""What the server knows: plain records, one class for each kind of thing that Modal has an id for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from modal_proto import api_pb2

from .ids import Signal, new_id, new_jwt

SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
FAILURE = api_pb2.GenericResult.GENERIC_STATUS_FAILURE
TERMINATED = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED
TIMEOUT = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
INTERNAL_FAILURE = api_pb2.GenericResult.GENERIC_STATUS_INTERNAL_FAILURE


@dataclass
class Settings:
    """How this server differs from Modal's defaults; every field is a command line option."""

    input_plane: bool = False  # functions are called through the input plane, as newer workspaces do
    container_limit: int = 4  # containers per function when `max_containers` is unset
    scaledown: float = 60.0  # upper bound for the idle time after which a container is told to end
    grace: float = 2.0  # seconds from SIGINT to SIGKILL (Modal: 30)
    cancel_grace: float = 2.0  # seconds from cancelling an input to SIGINT (Modal: 30)
    crash_limit: int = 4  # crashes in a row after which all pending inputs of the function fail
    heartbeat_timeout: float = 60.0  # a client silent for longer has its app stopped
    backlog: int = 2_000  # pending inputs of a function before RESOURCE_EXHAUSTED (spawn: 1,000,000)
    container_env: Mapping[str, str] = field(default_factory=dict)  # added to every container


@dataclass
class LogEntry:
    """One piece of output, with the ids that Modal attaches to it."""

    number: int
    timestamp: float
    data: str
    fd: api_pb2.FileDescriptor.ValueType
    task_id: str = ""
    function_id: str = ""
    function_call_id: str = ""
    input_id: str = ""


@dataclass
class App:
    """An ephemeral app: what one `app.run()` is on the server."""

    id: str
    name: str
    tags: dict[str, str]
    state: str = "ephemeral"
    created_at: float = field(default_factory=time.time)
    stopped_at: float | None = None
    stop_reason: str = ""
    stop_source: str = ""
    client_exception: str = ""
    heartbeats: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    published: bool = False
    function_ids: dict[str, str] = field(default_factory=dict)
    class_ids: dict[str, str] = field(default_factory=dict)
    logs: list[LogEntry] = field(default_factory=list)
    changed: Signal = field(default_factory=Signal)

    @property
    def stopped(self) -> bool:
        """Whether the app takes no more work."""
        return self.stopped_at is not None


@dataclass
class Function:
    """A function of an app, or a variant of one (`FunctionBindParams`) with its own parameters."""

    id: str
    app: App
    name: str
    definition: api_pb2.Function = field(default_factory=api_pb2.Function)
    ranked: list[api_pb2.Function] = field(default_factory=list)  # a GPU list: one definition per choice
    metadata: api_pb2.FunctionHandleMetadata = field(default_factory=api_pb2.FunctionHandleMetadata)
    base_id: str = ""
    params: bytes = b""
    created: bool = False
    pending: deque[Input] = field(default_factory=deque)
    containers: list[Container] = field(default_factory=list)
    crashes_in_a_row: int = 0
    crashes: int = 0
    last_failure: api_pb2.GenericResult | None = None
    changed: Signal = field(default_factory=Signal)

    @property
    def gpus(self) -> list[str]:
        """The GPUs asked for, in order of preference, as the user wrote them."""
        choices = []
        for definition in self.ranked or [self.definition]:
            gpu = definition.resources.gpu_config
            if gpu.gpu_type:
                choices.append(gpu.gpu_type + (f":{gpu.count}" if gpu.count > 1 else ""))
        return choices

    @property
    def live(self) -> list[Container]:
        """The containers that have not ended."""
        return [container for container in self.containers if container.ended_at is None]


@dataclass
class Input:
    """One call's arguments, and what became of them."""

    id: str
    idx: int
    call: Call
    payload: api_pb2.FunctionInput
    retry_count: int = 0
    jwt: str = ""
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    output: api_pb2.FunctionGetOutputsItem | None = None
    cancelled: bool = False

    @property
    def status(self) -> str:
        """Pending, running, or how it ended, in one word."""
        if self.output is not None:
            name: str = api_pb2.GenericResult.GenericStatus.Name(self.output.result.status)
            return name.removeprefix("GENERIC_STATUS_").lower()
        return "running" if self.started_at is not None and self.ended_at is None else "pending"


@dataclass
class Call:
    """A function call: one input for `remote` and `spawn`, many for `map`."""

    id: str
    function: Function
    kind: str
    invocation: int
    from_input_plane: bool = False
    created_at: float = field(default_factory=time.time)
    inputs: dict[int, Input] = field(default_factory=dict)
    outputs: list[api_pb2.FunctionGetOutputsItem] = field(default_factory=list)  # in order of arrival
    done: int = 0  # inputs that have an output
    chunks: list[api_pb2.DataChunk] = field(default_factory=list)  # what a generator has yielded
    changed: Signal = field(default_factory=Signal)

    @property
    def asynchronous(self) -> bool:
        """Whether the call was made by `spawn`, whose retries are the server's business."""
        return self.invocation in (
            api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
            api_pb2.FUNCTION_CALL_INVOCATION_TYPE_ASYNC_LEGACY,
        )

    def unfinished(self) -> int:
        """Return the number of inputs without an output."""
        return len(self.inputs) - self.done


@dataclass
class Container:
    """A container: a process that runs Modal's own runtime."""

    id: str
    function: Function
    definition: api_pb2.Function
    directory: Path
    gpu: str = ""
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    exit_status: int | None = None
    end_reason: str = ""
    process: asyncio.subprocess.Process | None = None
    running: dict[str, Input] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)  # input ids to hand out at the next heartbeat
    result: api_pb2.GenericResult | None = None  # what the runtime said about a failed start
    draining: bool = False  # gets no more inputs
    expected_end: str = ""  # why the server is ending it; empty when an end would be a crash
    partial: dict[int, str] = field(default_factory=dict)  # output without its newline, by descriptor
    changed: Signal = field(default_factory=Signal)


@dataclass
class Image:
    """One layer of an image, with everything that the layers below it said."""

    id: str
    commands: list[str]
    base: Image | None
    requirements: list[str] = field(default_factory=list)  # of this layer
    env: dict[str, str] = field(default_factory=dict)  # of this layer
    copied: list[api_pb2.MountFile] = field(default_factory=list)  # files that were built in
    copied_to: str = "/"
    ignored: list[str] = field(default_factory=list)  # commands that were only written down
    packages: dict[str, str] = field(default_factory=dict)  # what the container gets
    interpreter: Path = Path()  # of the environment that has them
    python: str = ""
    builder: App | None = None  # holds the log of the build; None until somebody waits for the image
    builder_task: str = field(default_factory=lambda: new_id("ta"))
    build: asyncio.Future[None] | None = None
    builds: int = 0
    failed: bool = False
    unreadable: str = ""  # why the build must fail, found when the commands were read
    error: str = ""  # what the client is told; Modal says nothing here and leaves it to the log

    def layers(self) -> list[Image]:
        """Return this layer and those below it, lowest first."""
        return [*(self.base.layers() if self.base else []), self]


@dataclass
class Mount:
    """Files that were uploaded for containers."""

    id: str
    name: str = ""
    files: list[api_pb2.MountFile] = field(default_factory=list)


@dataclass
class Volume:
    """A volume: a directory that outlives containers and apps."""

    id: str
    name: str
    directory: Path
    created_at: float = field(default_factory=time.time)
    commits: int = 0
    reloads: int = 0
    mounted_by: list[str] = field(default_factory=list)


@dataclass
class Secret:
    """A secret: named ones come from the test, unnamed ones from `Secret.from_dict` and `env=`."""

    id: str
    name: str
    values: dict[str, str]


@dataclass
class World:
    """Everything the server knows, in one place, so that a reset is one call."""

    directory: Path
    apps: dict[str, App] = field(default_factory=dict)
    builders: dict[str, App] = field(default_factory=dict)  # apps that are builds of images
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)  # class id -> app id
    calls: dict[str, Call] = field(default_factory=dict)
    inputs: dict[str, Input] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    image_keys: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, Mount] = field(default_factory=dict)
    contents: dict[str, Path] = field(default_factory=dict)  # sha256 -> uploaded file
    volumes: dict[str, Volume] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    blobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    rpcs: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything but the directory and the tokens."""
        for known in fields(self):
            if known.name not in ("directory", "tokens"):
                getattr(self, known.name).clear()

    def new_input(self, call: Call, idx: int, payload: api_pb2.FunctionInput) -> Input:
        """Create and index an input of `call`."""
        item = Input(new_id("in"), idx, call, payload)
        item.jwt = new_jwt(input_id=item.id, function_call_id=call.id, idx=idx)
        call.inputs[idx] = item
        self.inputs[item.id] = item
        return item
