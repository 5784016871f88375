"""The data types in the middle: what is sent, and what comes back.

Nothing here knows of pytest or of Modal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Buffers = Sequence[bytes | memoryview]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

Status = Literal[
    "ok",
    "raised",
    "not data",
    "timed out",
    "crashed",
    "dependency failed",
    "infrastructure",
    "not recorded",
    "stale recording",
    "bad recording",
]


@dataclass(frozen=True)
class Environment:
    """Where a call runs. Every call of one environment shares one Modal Function.

    Attributes
    ----------
    gpu : str or tuple of str or None
        A GPU type, or types in order of preference.
    timeout : float
        Seconds that one call may take, loading its models included.
    packages : tuple of str or None
        Requirements of the image; None derives them from the imports.
    local_packages : tuple of str
        Importable local packages whose source travels with the call.
    round : int
        Not declared: repeats of calls are independent if each round has containers of its own.
    """

    gpu: str | tuple[str, ...] | None = "T4"
    timeout: float = 1800
    packages: tuple[str, ...] | None = None
    local_packages: tuple[str, ...] = ()
    image: Any = None
    volumes: tuple[tuple[str, Any], ...] = ()
    secrets: tuple[Any, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cpu: float | None = None
    memory: int | None = None
    region: str | tuple[str, ...] | None = None
    retries: int = 0
    max_containers: int = 1
    round: int = 0

    @property
    def key(self) -> str:
        """Digest of all settings; equal for calls that can share a container."""
        return digest_of(*self._settings())

    @property
    def declared(self) -> str:
        """Digest of all settings that is the same in every process: objects count by how they describe themselves."""
        return digest_of(*(_ADDRESS.sub("", setting) for setting in self._settings()))

    def _settings(self) -> list[str]:
        names = [item.name for item in fields(self) if item.name != "round" or self.round]
        return [f"{name}={getattr(self, name)!r}" for name in names]

    def __str__(self) -> str:
        gpu = self.gpu if isinstance(self.gpu, str) else " or ".join(self.gpu or ("no GPU",))
        parts = [gpu, f"timeout {self.timeout:g} s"]
        if self.max_containers > 1:
            parts.append(f"{self.max_containers} containers")
        if self.packages is not None:
            parts.append(", ".join(self.packages))
        if self.round:
            parts.append(f"round {self.round + 1}")
        return "; ".join(parts)


@dataclass(frozen=True)
class ShippedFunction:
    """A function by value: what travels, and where its source stands.

    Attributes
    ----------
    key : str
        Digest of its content: its code and what it reaches, the same in every process.
    payload : bytes
        The pickled function.
    location : str
        ``path:line`` of its definition, relative to the rootdir.
    imports : tuple of str
        Dotted names of the modules that it needs, its helpers' included.
    parts : mapping
        Digests of the parts of its code, see `pytest_modal.codekey`.
    """

    key: str
    name: str
    location: str
    payload: bytes = field(repr=False)
    imports: tuple[str, ...] = field(default=(), repr=False)
    parts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Data:
    """An argument that is data, encoded."""

    digest: str
    buffers: Buffers = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes of the encoding."""
        return sum(len(memoryview(buffer).cast("B")) for buffer in self.buffers)


@dataclass(frozen=True)
class FromCall:
    """An argument that is the result of another call."""

    key: str


@dataclass(frozen=True)
class FromContainer:
    """An argument that is the value of a container fixture."""

    key: str


Argument = Data | FromCall | FromContainer


@dataclass
class Node:
    """What calls and container fixtures share: a function with bound arguments.

    Attributes
    ----------
    key : str
        Digest of the content: code, arguments, declared environment. The same in every process and every run.
    shown : tuple of str
        The parameters that tell it from others of the same function, as they are shown.
    """

    key: str
    label: str
    function: ShippedFunction
    arguments: Mapping[str, Argument]
    environment: Environment
    param: Data | None = None
    takes_request: bool = False
    shown: tuple[str, ...] = ()

    def references(self, kind: type[FromCall] | type[FromContainer]) -> list[str]:
        """Keys of the calls, or of the container fixtures, among the arguments."""
        return [argument.key for argument in self.arguments.values() if isinstance(argument, kind)]

    @property
    def argument_digests(self) -> dict[str, str]:
        """What the arguments are, by name: digests of data, keys of what else they come from."""
        found = {
            name: argument.digest if isinstance(argument, Data) else argument.key
            for name, argument in self.arguments.items()
        }
        return found | ({"request.param": self.param.digest} if self.param else {})

    @property
    def payload_bytes(self) -> int:
        """Bytes of the arguments that are data."""
        sent = [argument for argument in self.arguments.values() if isinstance(argument, Data)]
        return sum(data.size for data in [*sent, *([self.param] if self.param else [])])


@dataclass
class Container(Node):
    """A container fixture, bound: built once in each container that needs it."""


@dataclass
class Call(Node):
    """One call of a GPU function.

    Attributes
    ----------
    containers : tuple of str
        Keys of the container fixtures that it needs, each after those that it needs itself.
    tests : list of str
        Node ids of the tests that use its result.
    declared : dict of str to str
        Digests of what their markers say of the environment, by its source.
    mocked : bool
        Whether a stand-in runs, in it or in what it depends on.
    """

    containers: tuple[str, ...] = ()
    tests: list[str] = field(default_factory=list)
    declared: dict[str, str] = field(default_factory=dict)
    mocked: bool = False


@dataclass
class Batch:
    """Everything that one session has to do.

    Attributes
    ----------
    calls : list of Call
        In the order of execution: what a call depends on comes before it.
    containers : dict
        The container fixtures that the calls need, by key.
    shards : dict
        For each sharded call, which is not in `calls`, the keys of its parts in order.
    """

    calls: list[Call] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    shards: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def parts(self, key: str) -> tuple[str, ...]:
        """Return the keys of the calls whose results make up the result of `key`."""
        return self.shards.get(key, (key,))

    def dependencies(self, call: Call) -> list[str]:
        """Return the keys of the calls whose results this one needs, its container fixtures included."""
        nodes = [call, *(self.containers[key] for key in call.containers)]
        return [part for node in nodes for key in node.references(FromCall) for part in self.parts(key)]

    def without(self, keys: Collection[str]) -> Batch:
        """Return what is left to do when the results of some calls are there already."""
        left = [call for call in self.calls if call.key not in keys]
        return Batch(left, self.containers, self.shards)

    @property
    def environments(self) -> list[Environment]:
        """The distinct environments, in order of first use."""
        return list({call.environment.key: call.environment for call in self.calls}.values())

    @property
    def tests(self) -> int:
        """How many tests wait for results."""
        return len({nodeid for call in self.calls for nodeid in call.tests})


@dataclass(frozen=True)
class Load:
    """A container fixture was built: which, in which container, in how many seconds."""

    key: str
    label: str
    container: str
    seconds: float


@dataclass
class Outcome:
    """What became of a call.

    Attributes
    ----------
    phase : str
        What was going on when it failed: "start", "load <fixture>", "call" or "return".
    error : mapping or None
        The remote exception as data (see `pytest_modal.worker.describe`), or what else is known.
    container_key : str or None
        The container fixture that is to blame, when one is.
    peak_memory : int or None
        Bytes: peak of the GPU's memory during the call, or of the process's where no GPU was used.
    value_bytes : int
        Size of the encoded result.
    recorded : str
        When it was recorded, for a result that was replayed.
    lost_files : list of str
        Files that the call wrote and that are gone with the container.
    """

    key: str
    status: Status
    seconds: float = 0.0
    phase: str = "call"
    error: Mapping[str, Any] | None = None
    container_key: str | None = None
    container: str = ""
    device: str = ""
    peak_memory: int | None = None
    stdout: str = ""
    stderr: str = ""
    loads: list[Load] = field(default_factory=list)
    teardown_errors: list[Mapping[str, Any]] = field(default_factory=list)
    value_bytes: int = 0
    attempts: int = 1
    recorded: str = ""
    lost_files: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.status == "ok"


def digest_of(*parts: str) -> str:
    """Return a short content hash of texts, in order."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
