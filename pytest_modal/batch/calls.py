"""Calls, container fixtures and their arguments: what is sent."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

from pytest_modal.batch.environment import Environment
from pytest_modal.batch.requirements import Requirements

Buffers = Sequence[bytes | memoryview]
Rank = tuple[Any, ...]
NONE: Mapping[str, Any] = MappingProxyType({})
# Tags of an encoding, see `pytest_modal.remote.data`.
_NEEDS_NUMPY = re.compile(rb'"\$(?:array|scalars?|str_|bytes_)":')


@dataclass(frozen=True)
class Part:
    """One thing of what a function needs, and how it travels.

    Attributes
    ----------
    how : str
        "source": its statement runs there. "setting": so does this one, which changes the state of the process.
        "value": as data; "pickle": as an object; "reference": it is bound to another part. "package": the image
        installs it; "left out": it is not installed here, or only annotations name it.
    name : str
        Such as ``helpers.scale``; for a package the dotted name of the module.
    path, line : str, int
        Where its statement is, relative to the rootdir; empty and 0 where it has none.
    size : int
        Bytes, of what travels by value.
    weak : bool
        Whether only annotations name it.
    decided_here : bool
        Whether a value was made by a statement that asks about the machine or the environment.
    reads : tuple of str or None
        Of code that reads files: the name by which it finds one on this machine, and the path that it stands for.
    replaced : bool
        Whether the name is bound to something else on this machine than what its statement makes.
    """

    how: Literal["source", "setting", "value", "pickle", "reference", "package", "left out"]
    name: str
    path: str = ""
    line: int = 0
    size: int = 0
    weak: bool = False
    decided_here: bool = False
    reads: tuple[str, str] | None = None
    replaced: bool = False


class ShippedText(Protocol):
    """The text of a module that travels, for all functions of a batch.

    Attributes
    ----------
    key : str
        Digest of what travels.
    path : str
        Its file, relative to the rootdir.
    """

    @property
    def key(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def payload(self) -> bytes: ...

    def line(self, number: int) -> str:
        """Return a line that travels; empty for one that does not."""


@dataclass(frozen=True)
class ShippedFunction:
    """A function, and what travels of it.

    Attributes
    ----------
    key : str
        Digest of its content: its code and what it uses, the same in every process.
    payload : bytes
        Which statements of its modules it needs, and what does not travel as a statement.
    location : str
        ``path:line`` of its definition, relative to the rootdir.
    imports, optional : tuple of str
        Dotted names of the modules of packages that it needs, its helpers' included; those that it does without.
    parts : mapping
        Digests of the parts of its code, see `pytest_modal.code.keys`.
    travels : tuple of Part
        All that it needs, and how it travels.
    modules : tuple of ShippedText
        The texts of its modules.
    body : callable or None
        The function itself.
    words : frozenset of str
        What its code says that asks for more packages, see `pytest_modal.code.companions`.
    """

    key: str
    name: str
    location: str
    payload: bytes = field(repr=False)
    imports: tuple[str, ...] = field(default=(), repr=False)
    parts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    optional: tuple[str, ...] = field(default=(), repr=False)
    modules: tuple[ShippedText, ...] = field(default=(), repr=False, compare=False)
    travels: tuple[Part, ...] = field(default=(), repr=False, compare=False)
    body: Callable[..., object] | None = field(default=None, repr=False, compare=False)
    words: frozenset[str] = field(default=frozenset(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Data:
    """An argument that is data, encoded."""

    digest: str
    buffers: Buffers = field(repr=False, compare=False)

    @property
    def content(self) -> str:
        """Digest of the value alone."""
        return self.digest

    @property
    def size(self) -> int:
        """Bytes of the encoding."""
        return sum(len(memoryview(buffer).cast("B")) for buffer in self.buffers)

    @property
    def needs_numpy(self) -> bool:
        """Whether numpy has to read it."""
        return _NEEDS_NUMPY.search(self.buffers[0]) is not None


@dataclass(frozen=True, slots=True)
class Code(Data):
    """An argument that is code, or holds some: it travels as functions do.

    Attributes
    ----------
    imports : tuple of str
        Dotted names of the modules of packages that it needs.
    modules : tuple of ShippedText
        The texts of its modules.
    words : frozenset of str
        As of a function.
    """

    imports: tuple[str, ...] = field(default=(), repr=False)
    modules: tuple[ShippedText, ...] = field(default=(), repr=False, compare=False)
    value_digest: str = field(default="", repr=False)
    words: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @property
    def content(self) -> str:
        """Digest of the value alone, without that of the code that it is made from."""
        return self.value_digest


@dataclass(frozen=True, slots=True)
class FromCall:
    """An argument that is the result of another call."""

    key: str


@dataclass(frozen=True, slots=True)
class FromContainer:
    """An argument that is the value of a container fixture."""

    key: str


Argument = Data | FromCall | FromContainer


@dataclass(slots=True)
class Node:
    """What calls and container fixtures share: a function with bound arguments.

    Attributes
    ----------
    key : str
        Digest of the content: code, arguments, declared environment. The same in every process and every run.
    label : str
        What people read: its name and, as in the ids of tests, the parameters that it depends on.
    shown : tuple of str
        These parameters: its own, and those of what it needs.
    own_label : str
        Its name with the values of its own parameters, as recordings and baselines refer to a container fixture.
    apart : str
        What distinguishes it from others of the same label; empty where the label suffices.
    rank : tuple
        Where the first test that needs it stands: file, line, and position among its parametrizations.
    """

    key: str
    label: str
    function: ShippedFunction
    arguments: Mapping[str, Argument]
    environment: Environment
    param: Data | None = None
    takes_request: bool = False
    shown: tuple[str, ...] = ()
    own_label: str = ""
    apart: str = ""
    rank: Rank = ()

    def fields(self) -> dict[str, Any]:
        """Return what makes it up, by name."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    def references(self, kind: type[FromCall] | type[FromContainer]) -> list[str]:
        """Keys of the calls, or of the container fixtures, among the arguments."""
        return [argument.key for argument in self.arguments.values() if isinstance(argument, kind)]

    @property
    def argument_digests(self) -> dict[str, str]:
        """The arguments by name: digests of data, keys of the calls and container fixtures that they come from."""
        found = {
            name: argument.digest if isinstance(argument, Data) else argument.key
            for name, argument in self.arguments.items()
        }
        return found | ({"request.param": self.param.digest} if self.param else {})

    @property
    def codes(self) -> list[Code]:
        """The arguments that are code."""
        sent = [*self.arguments.values(), *([self.param] if self.param else [])]
        return [argument for argument in sent if isinstance(argument, Code)]

    @property
    def imports(self) -> set[str]:
        """Dotted names of the modules of packages that the function and its arguments need."""
        return {*self.function.imports, *(name for each in self.codes for name in each.imports)}

    @property
    def words(self) -> set[str]:
        """What the code of the function and of its arguments says that asks for more packages."""
        return {*self.function.words, *(word for each in self.codes for word in each.words)}

    @property
    def modules(self) -> list[ShippedText]:
        """The texts of the modules of the function and of its arguments."""
        return [*self.function.modules, *(text for each in self.codes for text in each.modules)]

    @property
    def payload_bytes(self) -> int:
        """Bytes of the arguments that are data."""
        sent = [argument for argument in self.arguments.values() if isinstance(argument, Data)]
        return sum(data.size for data in [*sent, *([self.param] if self.param else [])])


@dataclass(slots=True)
class Container(Node):
    """A container fixture, bound: built once in each container that needs it."""


@dataclass(slots=True)
class Call(Node):
    """One call of a GPU function; there may be 100,000 of them.

    Attributes
    ----------
    containers : tuple of str
        Keys of the container fixtures that it needs, each after those that it needs itself.
    tests : list of str
        Node ids of the tests that use its result.
    declared : mapping of str to str
        Digests of the source of what their markers declare about the environment.
    mocked : bool
        Whether a mock runs, in it or in what it depends on.
    """

    containers: tuple[str, ...] = ()
    tests: list[str] = field(default_factory=list)
    declared: Mapping[str, str] = field(default_factory=lambda: NONE)
    mocked: bool = False


@dataclass
class Batch:
    """Everything that a run has to do.

    Attributes
    ----------
    calls : list of Call
        In the order of execution: what a call depends on comes before it.
    containers : dict
        The container fixtures that the calls need, by key.
    shards : dict
        For each sharded call, which is not in `calls`, the keys of its parts in order.
    requirements : dict of str to Requirements
        What the images install, by `Environment.image_group`. Decided once for a run: parts of the batch that are sent
        later, or again, share the images.
    rounds_apart : bool
        Whether each round runs in its own session, so that rounds differ by what differs between sessions.
    """

    calls: list[Call] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    shards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    requirements: dict[str, Requirements] = field(default_factory=dict)
    rounds_apart: bool = False

    def parts(self, key: str) -> tuple[str, ...]:
        """Return the keys of the calls whose results make up the result of `key`."""
        return self.shards.get(key, (key,))

    def dependencies(self, call: Call) -> list[str]:
        """Return the keys of the calls whose results this one needs, its container fixtures included."""
        nodes = [call, *(self.containers[key] for key in call.containers)]
        return [part for node in nodes for key in node.references(FromCall) for part in self.parts(key)]

    def without(self, keys: Collection[str]) -> Batch:
        """Return the batch without some calls, whose results exist already."""
        left = [call for call in self.calls if call.key not in keys]
        return replace(self, calls=left)

    @property
    def sessions(self) -> dict[int | None, Batch]:
        """What each session has to do, by the round that it runs; one session for all is under None.

        No call depends on one of another round.
        """
        if not self.rounds_apart:
            return {None: self}
        numbers = sorted({call.environment.round for call in self.calls})
        return {
            number: replace(self, calls=[call for call in self.calls if call.environment.round == number])
            for number in numbers
        }

    @property
    def environments(self) -> list[Environment]:
        """The distinct environments, in order of first use."""
        return list({call.environment.key: call.environment for call in self.calls}.values())

    @property
    def gpus_at_once(self) -> dict[str, int]:
        """How many GPUs of each kind it keeps busy at most."""
        found: dict[str, int] = {}
        for environment in self.environments:
            calls = sum(call.environment.key == environment.key for call in self.calls)
            kind = environment.gpu if isinstance(environment.gpu, str) else " or ".join(environment.gpu or ())
            number = environment.gpus * min(calls, environment.max_containers)
            if number:
                found[kind.partition(":")[0]] = found.get(kind.partition(":")[0], 0) + number
        return found

    @property
    def tests(self) -> int:
        """How many tests wait for results."""
        return len({nodeid for call in self.calls for nodeid in call.tests})
