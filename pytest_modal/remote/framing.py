"""Framing of messages: two lengths, a header, a value."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, Literal, NotRequired, TypedDict

from pytest_modal.remote import data
from pytest_modal.remote.verdicts import Verdict

Buffers = list[bytes | memoryview]


class Described(TypedDict):
    """An exception as data.

    Attributes
    ----------
    frames : list
        ``(file, line, function)``; the source lines are those that were sent.
    verdict : str
        What it says of the tests; left out where something went wrong.
    values : list
        ``(name, value)`` of what an assertion that failed was about.
    """

    type: str
    message: str
    notes: NotRequired[list[str]]
    frames: NotRequired[list[tuple[str, int, str]]]
    verdict: NotRequired[Verdict]
    values: NotRequired[list[tuple[str, str]]]
    cause: NotRequired[Described]
    context: NotRequired[Described]
    exceptions: NotRequired[list[Described]]


class PythonWarning(TypedDict):
    """A Python warning as data.

    Attributes
    ----------
    categories : list of str
        Module and name of its class, then of the warning classes that this one is derived from.
    file, line : str, int
        Where it was raised.
    module : str
        Name of the module there, which filters may name; empty if it is not known.
    """

    categories: list[str]
    message: str
    file: str
    line: int
    module: str


class Bound(TypedDict):
    """A function with its arguments: a call, or a container fixture.

    Attributes
    ----------
    function : str
        Key of the function's payload among the blobs.
    modules : list of str
        Keys of the texts of its modules, and of those of its arguments.
    arguments : mapping
        For each parameter ``("data", key of a blob)``, ``("code", key of a blob)``, which is a payload as that of a
        function, or ``("container", key of a container fixture)``.
    param : tuple or None
        What ``request.param`` is, in the same form.
    request : bool
        Whether the function takes ``request``.
    seed : int
        What random numbers begin with; without one they begin as in a fresh process.
    until : int
        Of a container fixture: the position of its last user.
    """

    key: str
    name: str
    label: str
    function: str
    modules: list[str]
    arguments: Mapping[str, tuple[Literal["data", "code", "container"], str]]
    param: tuple[Literal["data", "code", "container"], str] | None
    request: bool
    seed: NotRequired[int]
    until: NotRequired[int]


class CallRequest(TypedDict):
    """The message that runs a call.

    Attributes
    ----------
    containers : list of Bound
        The container fixtures that the call needs, each after those that it needs itself.
    blobs : mapping
        Payloads of functions, texts of modules and encoded data, by key.
    position : int
        Of the call in the order of the batch.
    mounts : list of str
        Paths of the volumes.
    own_image : bool
        Whether the project defines the image, which may have packages of the project.
    """

    call: Bound
    containers: list[Bound]
    blobs: Mapping[str, bytes]
    position: int
    mounts: list[str]
    own_image: bool


class Pack(TypedDict):
    """Calls that go to a container together.

    Attributes
    ----------
    id : str
        Names the pack in the app's log.
    calls : list of CallRequest
        In order. Blobs that several need are with the first of them.
    timeout : float
        Seconds that a call may take.
    retries : int
        How often a call that raised is run again.
    seconds : float
        When so much work is done, the calls that have not begun go back.
    alone : bool
        Whether each call begins in a fresh process.
    last : bool
        Whether the environment has no other calls: the container ends after these.
    """

    id: str
    calls: list[CallRequest]
    timeout: float
    retries: int
    seconds: float
    alone: bool
    last: bool


class PackReply(TypedDict):
    """What comes back of a pack; the replies follow, each with its value.

    Attributes
    ----------
    age : float
        Seconds since the container was started.
    device : str
        The name of the GPU that it has; empty without one.
    ends : bool
        Whether it ends now, because nothing is left to do.
    keys : list of str
        Of the calls that have replies, in the order of these.
    spent : list of float
        Seconds that each of them took, without loading container fixtures.
    teardowns : list of Teardown
        What went wrong after the ``yield`` of container fixtures since the last pack.
    """

    pack: str
    container: str
    age: float
    device: str
    ends: bool
    keys: list[str]
    spent: list[float]
    teardowns: list[Teardown]


class Loaded(TypedDict):
    """A container fixture that was built for a call: when (seconds since 1970), and in how many seconds."""

    key: str
    label: str
    seconds: float
    started: float


class Machine(TypedDict):
    """What a process says of the machine that it is on; "" and None where it does not know.

    Attributes
    ----------
    torch, cuda : str
        Versions, once a call has imported torch.
    driver : str
        Version of the GPU's driver.
    memory : int or None
        Bytes of the GPU.
    """

    python: str
    torch: str
    cuda: str
    driver: str
    gpu: str
    memory: int | None


class Ended(TypedDict, total=False):
    """How a process ended, or the seconds that it was given."""

    exit_status: int
    limit: float


class Reply(TypedDict, total=False):
    """The outcome of a call as data.

    Attributes
    ----------
    call : str
        Key of the call that the worker has run.
    ended : Ended
        What became of the process, where the call took it along.
    process : str
        Name of the process that ran it; a container may have had several.
    device : str
        The device that the call used: the name of a GPU, or "cpu".
    given : str
        The name of the GPU that the process has; empty without one.
    poisoned : bool
        Whether the process is unusable from now on, after a CUDA fault.
    attempts : int
        How often it was tried.
    fallen : list of str
        Names of the processes that ended under it before.
    started : float
        `seconds` before its end, in seconds since 1970.
    machine : Machine
        What the process says of its machine, with its first call, and when that is no longer all.
    """

    call: str
    status: Literal["ok", "raised", "not data", "skipped", "xfailed", "timed out", "crashed"]
    container: str
    process: str
    phase: str
    loads: list[Loaded]
    lost_files: list[str]
    warnings: list[PythonWarning]
    error: Described
    ended: Ended
    container_key: str
    seconds: float
    device: str
    given: str
    peak_memory: int
    poisoned: bool
    attempts: int
    fallen: list[str]
    stdout: str
    stderr: str
    started: float
    machine: Machine


class Teardown(TypedDict):
    """What went wrong after the ``yield`` of a container fixture.

    Attributes
    ----------
    error : Described
        What it raised.
    ended : Ended
        What became of the process, where it took it along, or what it was not given more than.
    pending : float
        The seconds after which it still ran.
    yields : bool
        Whether it yielded a second time.
    """

    container_key: str
    error: NotRequired[Described]
    ended: NotRequired[Ended]
    pending: NotRequired[float]
    yields: NotRequired[bool]


class Missing(TypedDict):
    """The reply to a request that names blobs which the container was never sent: their keys."""

    status: Literal["missing"]
    blobs: list[str]


class Limits(TypedDict):
    """The first message to the local worker process: what a container would not have of this machine.

    Attributes
    ----------
    roots : list of str
        Directories whose modules it would not have: the project's own.
    closed : list of str
        Directories whose files it would not have.
    apart : list of str
        Directories that may be read, wherever they are: the worker's own, and volumes.
    modules : list of str
        Dotted names of modules that the image would not have.
    distributions : list of str or None
        Normal names of all distributions that the image would have; None where that is not known.
    variables : list of str
        Names of environment variables that are set on this machine, and were withheld.
    """

    roots: list[str]
    closed: list[str]
    apart: list[str]
    modules: list[str]
    distributions: list[str] | None
    variables: list[str]


Frame = struct.Struct("<QQ")
MOST_BYTES = 1 << 62  # what is announced beyond is not even a size


def write_message(stream: IO[bytes], header: object, value: Buffers | None = None) -> None:
    """Write a message: two lengths, an encoded header, and the bytes of a value."""
    for buffer in message_buffers(header, value or []):
        stream.write(buffer)
    stream.flush()


def message_buffers(header: object, value: Buffers) -> list[bytes | memoryview]:
    """Return the parts of a message."""
    head = data.encode(header, where="message")
    return [Frame.pack(_length(head), _length(value)), *head, *value]


def read_message(stream: IO[bytes]) -> tuple[Any, bytes] | None:
    """Read a message; None at the end of the stream, which comes before that of what can't be a message."""
    lengths = stream.read(Frame.size)
    if len(lengths) < Frame.size:
        return None
    header, value = Frame.unpack(lengths)
    head, body = stream.read(min(header, MOST_BYTES)), stream.read(min(value, MOST_BYTES))
    if len(head) < header or len(body) < value:
        return None
    return data.decode(head), body


def messages_in(whole: memoryview) -> Iterator[tuple[Any, bytes]]:
    """Yield the messages that were written one after the other.

    Raises
    ------
    CorruptDataError
        The last one is truncated.
    """
    while whole:
        header, value = Frame.unpack_from(whole) if len(whole) >= Frame.size else (MOST_BYTES, 0)
        head, end = Frame.size + header, Frame.size + header + value
        if end > len(whole):
            raise data.CorruptDataError("it is truncated")
        yield data.decode(whole[Frame.size : head]), bytes(whole[head:end])
        whole = whole[end:]


def _length(buffers: Buffers) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)
