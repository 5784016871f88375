"""What an unkind service does to a batch: good calls pass, pytest ends, and nothing goes on running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from loopback_modal import LoopbackModal

MOST_SECONDS = 45.0
SUITE = """
    import time
    import pytest

    def square(x):
        print("squaring", x)
        time.sleep({seconds})
        return x * x

    def negative(x):
        print("negating", x)
        time.sleep({seconds})
        return -x

    @pytest.mark.modal_gpu(function=square, gpu="T4")
    @pytest.mark.parametrize("x", range({count}))
    def test_square(modal_result, x):
        assert modal_result == x * x

    @pytest.mark.modal_gpu(function=negative, gpu="L4")
    @pytest.mark.parametrize("x", range({count}))
    def test_negative(modal_result, x):
        assert modal_result == -x
"""
INI = """
    [pytest]
    modal_timeout = 5
    modal_startup_timeout = 10
    modal_acquire_timeout = 20
    modal_connection_timeout = 15
"""


@dataclass
class Unkind:
    """What goes wrong in a run."""

    faults: Sequence[dict[str, Any]] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    count: int = 6  # calls in each of the two environments
    seconds: float = 0.2  # of each
    hurt: int = 0  # calls whose result is gone unless they are tried again


def rpc(**options: Any) -> dict[str, Any]:
    """Return a fault of requests: of all, once the session is open."""
    return {"kind": "rpc", "times": None, "once": "AppPublish", **options}


def output(how: str, **options: Any) -> dict[str, Any]:
    """Return a fault of one call's result."""
    return {"kind": "output", "how": how, **options}


def late(gpu: str) -> dict[str, Any]:
    """Return a fault of a GPU that comes after a while."""
    return {"kind": "gpu", "gpu": gpu, "seconds": 10.0, "times": None}


WARNINGS = {"server_warnings": ["The image builder version 2024.10 is deprecated."]}
AS_ERRORS = ["-W", "error", "-p", "no:asyncio"]  # that plugin warns of its own default
CASES = {
    "requests are slow": Unkind(settings={"latency": 0.3}),
    "requests are reset": Unkind([rpc(share=0.15, seed=1, reset=True)]),
    "answers are lost": Unkind([rpc(share=0.15, seed=1, reset=True, done=True)]),
    "INTERNAL for a while": Unkind([rpc(status="INTERNAL", seconds=3)]),
    "UNAVAILABLE for a while": Unkind([rpc(status="UNAVAILABLE", seconds=3)]),
    "INTERNAL at the end": Unkind(
        [rpc(rpc="AppClientDisconnect", status="INTERNAL", seconds=3)],
    ),
    "every tenth request fails": Unkind([rpc(status="INTERNAL", share=0.1, seed=2, once=None)]),
    "logs come late": Unkind(settings={"log_delay": 5.0}),
    "no logs": Unkind(settings={"log_share": 1.0}),
    "32 streams": Unkind(
        [late("T4"), late("L4")],
        {"streams": 32, "heartbeat_timeout": 6.0},
        count=20,
        seconds=0.01,
    ),
    "server warnings": Unkind(settings=WARNINGS),
    "server warnings are errors": Unkind(settings=WARNINGS, arguments=AS_ERRORS),
    "an output is lost": Unkind([output("lost")], hurt=1),
    "outputs are given twice": Unkind([output("twice", times=None)]),
    "outputs for unknown inputs": Unkind([output("unknown", times=None)]),
    "an output is garbage": Unkind([output("garbage")], hurt=1),
    "an output is garbage that unpickles": Unkind([output("garbage", unpickles=True)], hurt=1),
}


def run(
    pytester: pytest.Pytester, arguments: Sequence[str], meanwhile: Callable[[], object] = lambda: None
) -> tuple[int, dict[str, int], str]:
    """Run pytest with something happening meanwhile; return its exit status, its counts, and its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--modal", "-p", "no:randomly", *arguments],
        cwd=pytester.path,
        env={**os.environ, "MODAL_HEARTBEAT_INTERVAL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        meanwhile()
        text, _ = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        pytest.fail(f"pytest does not end\n{text}")
    finally:
        process.kill()
    print(text)
    return process.returncode, pytest.RunResult.parse_summary_nouns(text.splitlines()), text


@pytest.mark.parametrize("unkind", CASES.values(), ids=CASES)
def test_good_calls_pass_whatever_the_service_does(
    pytester: pytest.Pytester, modal_server: LoopbackModal, unkind: Unkind
) -> None:
    pytester.makepyfile(SUITE.format(count=unkind.count, seconds=unkind.seconds))
    pytester.makeini(INI)
    modal_server.change(**unkind.settings)
    for fault in unkind.faults:
        modal_server.fail(**fault)
    _, counts, _ = run(pytester, unkind.arguments)
    facts = modal_server.facts()
    assert counts.get("passed", 0) >= 2 * unkind.count - unkind.hurt
    assert counts.get("passed", 0) + counts.get("errors", 0) == 2 * unkind.count
    assert len(facts["inputs"]) <= 2 * unkind.count + unkind.hurt
    assert [app["state"] for app in facts["apps"]] == ["stopped"]
    assert facts["apps"][0]["stop_source"] in ("client", "python_client")
    assert all(fault["used"] for fault in facts["faults"] if fault["kind"] != "gpu")


def test_an_app_that_is_stopped_without_a_word_ends_the_batch(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.change(stop_silent=True)
    pytester.makepyfile(SUITE.format(count=6, seconds=1.0))
    pytester.makeini(INI)

    def meanwhile() -> None:
        modal_server.wait_for(lambda facts: any(item["status"] == "success" for item in facts["inputs"]))
        modal_server.stop_app(modal_server.facts()["apps"][0]["id"])

    status, counts, text = run(pytester, [], meanwhile)
    assert status == 70
    assert counts["passed"] >= 1
    assert counts["passed"] + counts["errors"] == 12
    assert "the session was stopped from outside" in text


def test_a_machine_that_slept_is_told_so(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.change(heartbeat_timeout=6.0)
    pytester.makepyfile(SUITE.format(count=6, seconds=2.0))
    pytester.makeini(INI)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--modal", "-p", "no:randomly"],
        cwd=pytester.path,
        env={**os.environ, "MODAL_HEARTBEAT_INTERVAL": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        modal_server.wait_for(lambda facts: any(item["status"] == "success" for item in facts["inputs"]))
        process.send_signal(signal.SIGSTOP)
        modal_server.wait_for(lambda facts: facts["apps"][0]["state"] == "stopped")
        time.sleep(5)  # a machine that is merely busy is late too, but not by that much
        process.send_signal(signal.SIGCONT)
        text, _ = process.communicate(timeout=MOST_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 70, text
    assert "s. Was this machine asleep?" in text
    assert "run pytest --modal --modal-resume, which goes on" in text
