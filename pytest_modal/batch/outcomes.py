"""Outcomes and progress: what came back, and what is reported meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal[
    "ok",
    "raised",
    "not data",
    "skipped",
    "xfailed",
    "timed out",
    "crashed",
    "dependency failed",
    "infrastructure",
    "not recorded",
    "stale recording",
    "bad recording",
]
NOT_FAILED = ("ok", "skipped", "xfailed")  # statuses: there is a result, or nothing to test
Phase = Literal["", "connecting", "building images", "starting containers", "running", "closing", "stopping"]


@dataclass(frozen=True)
class App:
    """A session on Modal.

    Attributes
    ----------
    round : int or None
        Which round of the calls of gated tests it has run; None for all of its run.
    url : str or None
        Its page on the dashboard.
    """

    round: int | None
    id: str
    url: str | None


@dataclass(frozen=True)
class Event:
    """A step of the run on this machine: what it was, when it began (seconds since 1970), how many seconds it took."""

    what: str
    started: float
    seconds: float


@dataclass(frozen=True)
class Load:
    """A container fixture was built: which, in which container, in how many seconds, from when on."""

    key: str
    label: str
    container: str
    seconds: float
    started: float | None = None


@dataclass(slots=True)
class Outcome:
    """The outcome of a call; there may be 100,000 of them.

    Attributes
    ----------
    phase : str
        What it was doing when it failed: "start", "send", "load <fixture>", "call" or "return".
    error : mapping or None
        The remote exception as data (see `pytest_modal.remote.described.describe`), or what else is known.
    container_key : str or None
        The container fixture that failed, if one did.
    device : str
        The device that the call used: the name of a GPU, or "cpu".
    given : str
        The name of the GPU that its process had; empty without one.
    peak_memory : int or None
        Bytes: peak of the GPU's memory during the call, or of the process's where no GPU was used.
    value_bytes : int
        Size of the encoded result.
    recorded : str
        When a replayed result was recorded.
    lost_files : tuple of str
        Files that the call wrote and that are lost with the container.
    warnings : tuple of mapping
        Python warnings that it raised (see `pytest_modal.remote.framing.PythonWarning`).
    fallen : tuple of str
        The other containers that tried the call: those that ended under it.
    packages : dict of str to str
        Versions of the packages that it was made with.
    started : float or None
        `seconds` before its end, the time of its loads left out: seconds since 1970, by the clock of its container.
    machine : mapping or None
        What its container says of itself, where that is new (see `pytest_modal.remote.framing.Machine`).
    """

    key: str
    status: Status
    seconds: float = 0.0
    phase: str = "call"
    error: Mapping[str, Any] | None = None
    container_key: str | None = None
    container: str = ""
    device: str = ""
    given: str = ""
    peak_memory: int | None = None
    stdout: str = ""
    stderr: str = ""
    loads: tuple[Load, ...] = ()
    value_bytes: int = 0
    attempts: int = 1
    recorded: str = ""
    lost_files: tuple[str, ...] = ()
    warnings: tuple[Mapping[str, Any], ...] = ()
    fallen: tuple[str, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)
    started: float | None = None
    machine: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.status == "ok"

    @property
    def failed(self) -> bool:
        """Whether there is no result, and the call did not say that there is nothing to test."""
        return self.status not in NOT_FAILED


@dataclass(frozen=True)
class Progress:
    """An event to show while the batch runs: a call starts, a model is loaded, a function prints.

    Attributes
    ----------
    what, label : str
        Its words. Without the first there is no line to write: only the live view changes.
    printed : str or None
        The line that a function has printed, for an event of that kind.
    stays : bool
        Whether it is still to be seen when others follow.
    phase : Phase
        The phase that begins with it; empty if none does.
    kind : str
        What its container does from now on: it is "up", it builds a container fixture ("load") or runs a call, it is
        "idle", it is "down". Empty for an event of no container.
    container : str
        Its id.
    key : str
        Of the call that the container works on.
    where : str
        The environment in a word or two.
    """

    what: str
    label: str
    printed: str | None = None
    stays: bool = False
    phase: Phase = ""
    kind: Literal["", "up", "load", "call", "idle", "down"] = ""
    container: str = ""
    key: str = ""
    where: str = ""
