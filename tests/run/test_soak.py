"""A sample of the random faults of ``benchmarks/soak.py``, and that it sees what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from benchmark_scripts import script
from loopback_modal import LoopbackModal

SAMPLE = ["kill the client", "kill the worker", "full disk", "damaged files", "kill the container", "requests fail"]


@pytest.fixture(scope="module")
def soak() -> Any:
    """The script, as a module."""
    with script("soak") as module:
        yield module


@pytest.mark.parametrize("name", SAMPLE)
def test_good_calls_pass_after_a_fault_and_nothing_is_left(soak: Any, modal_server: LoopbackModal, name: str) -> None:
    assert soak.suffer(name, 1, modal_server) == ""


def test_it_sees_calls_that_fail_and_what_is_left(
    soak: Any, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(run: Any) -> None:
        directory = run.temporary / "pytest-modal-left"
        directory.mkdir()
        (run.directory / "project" / "test_it.py").write_text(f"def test_it(): assert not {run.directory.name!r}\n")
        (run.marks / "child-1-1").touch()  # a process that runs: it is the system's first
        run.start()

    monkeypatch.setitem(soak.FAULTS, "a fault", fault)
    monkeypatch.setattr(soak, "MOST_SECONDS_TO_END", 0.1)
    said = soak.suffer("a fault", 1, modal_server)
    assert said.startswith("not all passed:\n")
    assert "processes are left: [1]; directories are left: " in said
