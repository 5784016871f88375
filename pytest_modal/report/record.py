"""The record of a run: what `run.json` holds, and everything that is shown of a run is made from.

Times are seconds; points in time are seconds since 1970 (UTC), unless they are said to be text.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from pytest_modal.remote.framing import Machine

SCHEMA = 1

FAILED = ("failed", "error")  # outcomes of tests

Ending = Literal["finished", "interrupted", "unfinished"]


class MachineEntry(Machine):
    """What a container, or this machine, says of itself; "" and None where it is not known.

    Attributes
    ----------
    memory : int or None
        Bytes of the GPU.
    """


class ContainerEntry(TypedDict):
    """A process on Modal or on this machine that ran calls, from its start to its end.

    Attributes
    ----------
    id : str
        As in `CallEntry.container`.
    environment : str
        As people read it.
    gpu : str
        What is paid for, as ``"H100:2"``; empty without one.
    dollars : float or None
        None where nothing is paid, or no price is known.
    machine : MachineEntry or None
        None where it never answered.
    """

    id: str
    environment: str
    gpu: str
    started: float | None
    ended: float | None
    seconds: float
    dollars: float | None
    machine: MachineEntry | None


class LoadEntry(TypedDict):
    """A container fixture that was built, or was not."""

    label: str
    container: str
    started: float | None
    seconds: float
    ok: bool


class CallEntry(TypedDict):
    """A call of the batch.

    Attributes
    ----------
    key : str
        Its content key.
    where : str
        ``file:line`` of the function, relative to the rootdir.
    status : str
        As in `pytest_modal.batch.outcomes.Status`, or "missing".
    device, given : str
        What it used, and the GPU that it had.
    started : float or None
        `seconds` before its end; the time of its loads is not in `seconds`.
    peak_memory : int or None
        Bytes.
    value_bytes : int
        Size of the encoded result.
    reused : bool
        Whether the result is from an earlier run.
    recorded : str
        The date of a replayed result.
    error : str
        What happened, with the remote traceback, as a failure of a test shows it; empty if nothing did.
    printed : str
        What it printed, both streams.
    tests : list of str
        Node ids of those that need it.
    """

    key: str
    label: str
    function: str
    where: str
    environment: str
    status: str
    container: str
    started: float | None
    seconds: float
    device: str
    given: str
    peak_memory: int | None
    attempts: int
    value_bytes: int
    reused: bool
    recorded: str
    error: str
    printed: str
    tests: list[str]


class PhaseEntry(TypedDict):
    """What a phase of a test (setup, call, teardown) did that is shown.

    Attributes
    ----------
    outcome : str
        "passed", "failed", "skipped".
    text : str
        Of a failure the traceback as pytest shows it, of a skip the reason.
    sections : list of tuple
        Name and text of what was captured, without what calls have printed: that is in `CallEntry.printed`.
    """

    when: str
    outcome: str
    seconds: float
    text: str
    sections: list[tuple[str, str]]


class TestEntry(TypedDict):
    """A test with a part of this plugin in it: a GPU test, or one that wrote files or used a gate.

    Attributes
    ----------
    outcome : str
        "passed", "failed", "error", "skipped", "xfailed", "xpassed", or "not finished".
    file, line : str, int
        Relative to the rootdir; from 1.
    message : str
        The failure, or the reason of a skip, in one line.
    failed_at : tuple or None
        File, relative to the rootdir, and line from 1 where it failed; None where that is not in the project.
    calls : list of str
        Keys.
    """

    nodeid: str
    file: str
    line: int
    outcome: str
    seconds: float
    message: str
    failed_at: tuple[str, int] | None
    phases: list[PhaseEntry]
    calls: list[str]


class ArtifactEntry(TypedDict):
    """A file that a test wrote.

    Attributes
    ----------
    path : str
        Relative to the output root, with forward slashes.
    kind : str
        "csv", "figure", "json"; "file" where the test wrote it by itself.
    sha256 : str
        Of the content; empty where it could not be read.
    """

    path: str
    test: str
    kind: str
    bytes: int
    sha256: str


class RoundEntry(TypedDict):
    """A round of a baseline, or an entry of its history.

    Attributes
    ----------
    date : str
        As the baseline has it.
    value : float
        Accuracy or mean score.
    what : str
        "round", or what the entry of the history is: "recorded", "accepted: ..." with the reason, "items: ...".
    """

    date: str
    value: float
    what: str
    commit: str
    app: str
    gpu: str


class FlipEntry(TypedDict):
    """An item whose answer has changed.

    Attributes
    ----------
    direction : str
        "worse" or "better".
    was, now, input : str
        Texts; empty where there is none.
    right_then, right_now : str
        Right answers of rounds, such as "4/5", or the mean score.
    """

    id: str
    direction: str
    was: str
    now: str
    input: str
    right_then: str
    right_now: str


class GateEntry(TypedDict):
    """A gate.

    Attributes
    ----------
    line : str
        All of it, as the terminal shows it.
    recorded : bool
        Whether there was nothing to compare with, and there is a baseline now.
    result : dict
        The `GateResult` as plain data.
    rounds : list of RoundEntry
        Of the baseline, the oldest first.
    flips : list of FlipEntry
        At most 1,000.
    flips_in_all : int
        How many there are.
    items : str
        Digest of the per-item results, which are ``items/<digest>.json`` beside the records of earlier runs; empty
        where there are none.
    """

    gate: str
    test: str
    verdict: str
    failed: bool
    compared: bool
    recorded: bool
    line: str
    notes: list[str]
    baseline: str | None
    update: str | None
    result: dict[str, Any]
    rounds: list[RoundEntry]
    flips: list[FlipEntry]
    flips_in_all: int
    items: str


class SessionEntry(TypedDict):
    """A session on Modal; `round` as in `pytest_modal.batch.outcomes.App`."""

    id: str
    url: str | None
    round: int | None


class EventEntry(TypedDict):
    """A step of the session that belongs to no container: "planning", "connecting", "images and containers", ..."""

    what: str
    started: float
    seconds: float


class Spent(TypedDict):
    """What the run has cost, about; `complete` is whether all of it is known."""

    dollars: float
    complete: bool
    prices: str


class Record(TypedDict):
    """A run.

    Attributes
    ----------
    id : str
        Time and commit: the name of its file among the records of earlier runs.
    started : str
        ISO 8601, UTC.
    seconds : float
        The whole run of pytest.
    ending : str
        "unfinished" is what a run that was killed has left.
    selection : str
        Digest of the mode and of the node ids of its tests: equal for runs of the same tests.
    exit_status : int or None
        pytest's.
    mode : str
        "local", "modal", "replay", "skip", or "none" where no test needed the GPU.
    command : list of str
        The arguments of pytest; secrets are masked.
    commit : str
        Empty outside of a git repository.
    clean : bool or None
        Whether the tree was as committed.
    versions : dict of str to str
        On this machine: Python, pytest, pytest-modal, and the packages that calls were made with.
    outcomes : dict of str to int
        How many tests of the whole run had which outcome, those without a part of this plugin too.
    problems : list of str
        Lines that need attention: the batch could not run, gates compared nothing, files were not written.
    together : str or None
        What all gates say together.
    gate_lines : list of str
        What became of baselines.
    """

    schema: int
    id: str
    ending: Ending
    selection: str
    started: str
    seconds: float
    exit_status: int | None
    mode: str
    project: str
    command: list[str]
    commit: str
    branch: str
    clean: bool | None
    platform: str
    versions: dict[str, str]
    seed: str
    sessions: list[SessionEntry]
    events: list[EventEntry]
    containers: list[ContainerEntry]
    loads: list[LoadEntry]
    calls: list[CallEntry]
    outcomes: dict[str, int]
    tests: list[TestEntry]
    artifacts: list[ArtifactEntry]
    gates: list[GateEntry]
    together: str | None
    gate_lines: list[str]
    cost: Spent | None
    notes: list[str]
    problems: list[str]
