"""Differences between the records of two runs: which times count, and how tables are compared."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.report.comparison.files import compare_file
from pytest_modal.report.comparison.model import Run
from pytest_modal.report.comparison.tables import Cell, Row, table_change
from pytest_modal.report.differences import ArtifactChange, Differences, differences_between
from pytest_modal.report.html.images import Images
from pytest_modal.report.record import ArtifactEntry, CallEntry, ContainerEntry, MachineEntry, Record


def machine(gpu: str = "NVIDIA A100-SXM4-40GB") -> MachineEntry:
    return MachineEntry(python="3.11.7", torch="2.9.0", cuda="12.8", driver="570.1", gpu=gpu, memory=40 << 30)


def call(label: str, seconds: float, *, key: str = "", started: float = 0.0, **other: Any) -> CallEntry:
    fields: dict[str, Any] = {
        "key": key or label,
        "label": label,
        "function": label.partition("[")[0],
        "where": "test_model.py:7",
        "environment": "A100",
        "status": "ok",
        "container": "c1",
        "started": started,
        "seconds": seconds,
        "device": "cuda",
        "given": "A100",
        "peak_memory": None,
        "attempts": 1,
        "value_bytes": 100,
        "reused": False,
        "recorded": "",
        "error": "",
        "printed": "",
        "tests": ["test_model.py::test_it"],
    }
    return CallEntry(**{**fields, **other})


def record(*calls: CallEntry, gpu: str = "NVIDIA A100-SXM4-40GB", **other: Any) -> Record:
    """Return the record of a run; calls start one after the other, after one that pays for the imports."""
    first = call("warm", 9.0, started=-1.0)
    order = [first, *({**each, "started": float(n)} for n, each in enumerate(calls))]
    container = ContainerEntry(
        id="c1",
        environment="A100",
        gpu="A100",
        started=None,
        ended=None,
        seconds=60.0,
        dollars=None,
        machine=machine(gpu),
    )
    fields: dict[str, Any] = {
        "schema": 1,
        "id": "20260101T000000-abc",
        "ending": "finished",
        "selection": "s",
        "started": "2026-01-01T00:00:00Z",
        "seconds": 60.0,
        "exit_status": 0,
        "mode": "modal",
        "project": "p",
        "command": ["-q"],
        "commit": "abc",
        "branch": "main",
        "clean": True,
        "platform": "Linux",
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "seed": "",
        "sessions": [],
        "events": [],
        "containers": [container],
        "loads": [],
        "calls": order,
        "outcomes": {"passed": 1},
        "tests": [],
        "artifacts": [],
        "gates": [],
        "together": None,
        "cost": None,
        "notes": [],
        "problems": [],
    }
    return Record(**{**fields, **other})


def told(found: Differences) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in found.times]


def changed(label: str, was: float, now: float) -> tuple[CallEntry, CallEntry]:
    """Return a call of which the code has changed."""
    return call(label, was, key="old"), call(label, now, key="new")


def test_a_changed_call_that_takes_twice_as_long_is_slower() -> None:
    one, two = changed("generate", 3.0, 6.5)
    found = differences_between(record(one), record(two))
    assert told(found) == [("call", "generate")]
    assert found.slower == found.times
    assert not found.worse
    assert not differences_between(record(two), record(one)).slower, "it is faster"


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        (3.0, 5.5, "less than twice"),
        (0.02, 0.9, "what is short varies by any factor, and nobody waits for it"),
    ],
)
def test_what_noise_does_is_no_difference(was: float, now: float, why: str) -> None:
    one, two = changed("generate", was, now)
    assert not differences_between(record(one), record(two)), why


def test_the_same_call_on_the_same_machine_did_not_get_slower_though_it_took_longer() -> None:
    one, two = call("generate", 3.0), call("generate", 21.0)
    found = differences_between(record(one), record(two, seconds=200.0))
    assert not found
    assert not found.slower
    assert [(each.kind, each.unchanged) for each in found.times] == [("run", True), ("call", True)]


def test_the_same_call_on_another_gpu_got_slower() -> None:
    one, two = record(call("generate", 3.0)), record(call("generate", 21.0), gpu="Tesla T4")
    found = differences_between(one, two)
    assert [(each.what, each.now) for each in found.facts] == [("GPU", "Tesla T4")]
    assert [each.name for each in found.slower] == ["generate"]


def test_the_call_that_pays_for_the_imports_is_not_compared_with_one_that_does_not() -> None:
    one, two = changed("generate", 3.0, 12.0)
    first = record(two)
    first["calls"] = [each for each in first["calls"] if each["label"] != "warm"]
    assert told(differences_between(record(one), first)) == []


@pytest.mark.parametrize(
    "other", [{"reused": True}, {"recorded": "2026-01-01"}, {"attempts": 2}, {"status": "timed out"}]
)
def test_times_of_an_earlier_run_and_of_a_second_try_are_not_compared(other: dict[str, Any]) -> None:
    one, two = changed("generate", 3.0, 12.0)
    assert told(differences_between(record(one), record(CallEntry(**{**two, **other})))) == []


def test_many_calls_of_a_function_that_got_slower_are_one_line_however_short_they_are() -> None:
    pairs = [changed(f"embed[{number}]", 0.02, 0.05) for number in range(100)]
    found = differences_between(record(*(each for each, _ in pairs)), record(*(each for _, each in pairs)))
    assert [(each.kind, each.name, each.count) for each in found.times] == [("function", "embed (test_model.py)", 100)]


def test_a_machine_that_is_slow_throughout_is_told_once_and_what_is_slower_yet_by_name() -> None:
    pairs = [changed(name, 2.0, 5.0) for name in ("embed", "generate", "score", "rank")]
    pairs.append(changed("train", 2.0, 30.0))
    found = differences_between(record(*(each for each, _ in pairs)), record(*(each for _, each in pairs)))
    assert told(found) == [("calls", "all calls"), ("call", "train")]


def test_runs_of_two_modes_have_times_of_two_machines() -> None:
    one, two = changed("generate", 3.0, 12.0)
    assert told(differences_between(record(one, mode="local"), record(two))) == []


def test_a_slow_load_is_told_and_a_slow_run_only_if_it_did_the_same() -> None:
    def loaded(took: float, **other: Any) -> Record:
        load = {"label": "model", "container": "c1", "started": None, "seconds": took, "ok": True}
        return record(call("generate", 3.0, key=str(took)), loads=[load], **other)

    found = differences_between(loaded(20.0), loaded(50.0, seconds=300.0))
    assert told(found) == [("run", "the whole run"), ("load", "model")]
    found = differences_between(loaded(20.0), loaded(50.0, seconds=300.0, ending="interrupted"))
    assert told(found) == [("load", "model")]
    assert told(differences_between(loaded(1.0), loaded(5.5))) == []


def test_two_output_directories_are_no_difference_of_the_commands() -> None:
    one = record(command=["-q", "--modal-output-dir=one"])
    assert not differences_between(one, record(command=["-q", "--modal-output-dir", "two"]))
    found = differences_between(one, record(command=["-q", "-k", "it"]))
    assert [(each.what, each.was, each.now) for each in found.facts] == [("command", "pytest -q", "pytest -q -k it")]


def test_nothing_differs_from_itself() -> None:
    one = record(call("generate", 3.0))
    found = differences_between(one, copy.deepcopy(one))
    assert not found
    assert found == Differences()


def test_rows_of_tables_are_paired_by_id_and_else_by_place() -> None:
    found = table_change("id,x,y\na,1,2\nb,3,4\n", "id,y,x\nnew,0,0\nb,4,3\na,2,7\n")
    assert (found.lengths, found.differing, found.columns) == ((2, 3), 1, ("x",))
    assert found.rows == (Row("a", (Cell("x", "1", "7"),)),)
    found = table_change("x,old\n1,2\n3,4\n", "x,new\n1,2\n5,4\n")
    assert (found.only_before, found.only_after) == (("old",), ("new",))
    assert found.rows == (Row("2", (Cell("x", "3", "5"),)),)


@pytest.mark.parametrize("text", ["", "a,b\n1\n", '"a\n'])
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a table"):
        table_change("a,b\n1,2\n", text)


def test_a_figure_that_no_longer_fits_the_page_is_said_not_to(tmp_path: Path) -> None:
    sides = []
    for which, byte in (("earlier", b"1"), ("later", b"2")):
        content = b"\x89PNG\r\n\x1a\n" + 1000 * byte
        (tmp_path / which).mkdir()
        (tmp_path / which / "a.png").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        sides.append(ArtifactEntry(path="a.png", test="t", kind="figure", bytes=len(content), sha256=digest))
    change = ArtifactChange("a.png", *sides)
    before, after = (Run(record(), tmp_path / which) for which in ("earlier", "later"))
    found = compare_file(change, before, after, Images(most=1500))
    assert found.was is not None
    assert found.now is None
    assert found.note == "that of the later run can't be shown: all figures together are too large for a page"
    assert compare_file(change, before, after, Images()).note == ""
