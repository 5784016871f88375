"""The state of a running batch, as its events make it, and what is drawn of it."""

from __future__ import annotations

import itertools

import pytest

from pytest_modal.batch.calls import Batch, Call, ShippedFunction
from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome, Progress
from pytest_modal.batch.timings import Timings
from pytest_modal.report.live import picture
from pytest_modal.report.running import Running
from pytest_modal.report.wrapping import columns


def up(container: str, where: str = "T4") -> Progress:
    return Progress("container up:", where, kind="up", container=container, where=where)


def call(container: str, label: str, where: str = "T4") -> Progress:
    return Progress("running", label, kind="call", key=label, container=container, where=where)


def down(container: str) -> Progress:
    return Progress("", "", kind="down", container=container)


def running(*events: Progress, total: int = 8, **settings: object) -> Running:
    state = Running(total, **settings)  # type: ignore[arg-type]
    for event in events:
        state.progress(event)
    return state


def lines(state: Running, width: int = 80, height: int = 24) -> list[str]:
    return ["".join(text for text, _ in spans) for spans in picture(state, width, height)]


def test_an_outcome_ends_what_its_container_does() -> None:
    state = running(up("a"), up("b"), call("a", "f[1]"), call("b", "f[2]"))
    state.outcome(Outcome("f[2]", "ok"))
    assert [each.does for each in state.busy] == ["f[1]"]
    assert state.counts == ["1/8 calls"]


def test_what_is_heard_of_a_container_after_its_end_brings_it_back_no_more() -> None:
    state = running(up("a"), down("a"), call("a", "f[1]"))
    assert state.containers == {}


def test_the_phase_is_the_last_that_any_session_has_reached() -> None:
    state = running(
        Progress("", "", phase="connecting"),
        Progress("", "", phase="starting containers"),
        Progress("", "", phase="building images"),
    )
    assert state.phase == "starting containers"
    state.progress(call("a", "f[1]"))
    state.progress(Progress("", "", phase="closing"))
    assert state.phase == "running"
    for number in range(8):
        state.outcome(Outcome(f"f[{number}]", "ok"))
    state.progress(Progress("", "", phase="closing"))
    assert state.phase == "closing"


def test_the_end_is_expected_from_the_first_container_on_and_never_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    state = running(expected=90.0)
    now += 600  # waiting for a GPU
    assert state.left == ""
    state.progress(up("a"))
    assert state.left == "about 1 min 30 s left"
    now += 80
    assert state.left == "about 10 s left"
    now += 30
    assert state.left == "longer than last time"
    state.progress(Progress("", "", phase="stopping"))
    assert state.left == ""
    assert running(up("a")).left == ""


def test_of_many_containers_as_many_are_drawn_as_have_room() -> None:
    used = tuple(Used(f"{number}", "T4", "T4", 60.0, 0.25) for number in range(30))
    state = running(
        *(up(str(number)) for number in range(30)),
        *(call(str(number), f"f[{number}]") for number in range(25)),
        cost=lambda: Cost(used, "list prices"),
    )
    tall = lines(state)
    assert tall[2].startswith("  T4  f[0]  ")
    assert tall[-2:] == [
        "  ... and 16 more",
        "  30 containers up (5 idle); about $7.50: T4 30 min in 30 containers",
    ]
    assert len(lines(state, height=9)) == 7
    assert [line for line in lines(state, height=9) if "more" in line] == ["  ... and 22 more"]


@pytest.mark.parametrize(("width", "height"), [*itertools.product((1, 5, 12, 20, 40, 80, 200), (1, 2, 3, 5, 24))])
def test_nothing_is_wider_or_higher_than_the_screen(width: int, height: int) -> None:
    cost = Cost((Used("a", "H100", "H100", 100.0, None), Used("b", "T4", "T4", 4_000.0, 1.0)), "list prices")
    state = running(
        Progress("", "", phase="building images"),
        call("a", "an answer with あ and more" * 9, "H100-with-a-long-name"),
        call("b", "f[1]"),
        cost=lambda: cost,
        expected=1_000.0,
        total=12_345,
    )
    state.outcome(Outcome("x", "raised"))
    drawn = lines(state, width, height)
    assert len(drawn) <= max(1, height - 2)
    # What is wider than that is cut where it is drawn.
    assert width < 40 or max(map(columns, drawn)) < width


def batch(*environments: Environment) -> Batch:
    function = ShippedFunction("f", "key", "test_it.py:1", b"")
    calls = [Call(f"{number}", f"f[{number}]", function, {}, each) for number, each in enumerate(environments)]
    return Batch(calls)


def kept(*gpus: str, calls: int) -> dict[str, dict[str, float]]:
    """Return timings of 10 s of waiting a container, and 30 s a call."""
    of_calls = {f"{gpu} test_it.py::f[{number}]": 30.0 for gpu in gpus for number in range(calls)}
    return {"calls": of_calls, "loads": {}, "idle": dict.fromkeys(gpus, 10.0)}


def test_the_end_by_earlier_timings_minds_containers_and_gpus() -> None:
    small, large = Environment(gpu="T4", max_containers=2), Environment(gpu="H100")
    timings = Timings(kept("T4", "H100", calls=5))
    assert timings.expected(batch(large), 10) == 40
    assert timings.expected(batch(large, large), 10) == 70
    # Two containers share four calls; a third would have nothing to do.
    assert timings.expected(batch(small, small, small, small), 10) == 70
    assert timings.expected(batch(small), 10) == 40
    assert timings.expected(batch(small, small, large), 10) == 40
    # With one GPU at a time, they wait for each other.
    assert timings.expected(batch(small, small, large), 1) == 120
    assert Timings(kept("T4", calls=5)).expected(batch(small, large), 10) is None
    assert Timings().expected(batch(), 10) is None
