"""``pytest-modal doctor``: whatever a server does that is not assumed has its line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest
from doctor_visit import visit
from loopback_modal import LoopbackModal
from loopback_modal.faults import KINDS, OUTPUTS
from loopback_modal.state import Settings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass
class Unlike:
    """What a server does that is not assumed, and the line that says so."""

    check: str
    says: str
    settings: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[dict[str, Any]] = ()
    state: str = "differs"
    beside: Sequence[str] = ()  # other checks, for something to happen
    seconds: int = 60
    environment: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def fault(kind: str, *, times: int | None = None, **options: Any) -> list[dict[str, Any]]:
    return [{"kind": kind, "times": times, **options}]


def late_gpu(**options: Any) -> list[dict[str, Any]]:
    return fault("gpu", gpu="T4", **options)


SAID = r"Function `gpu` \(\S+\) is waiting to be scheduled on a GPU_T4 worker"
DEAD = {"crash_limit": 1}
CASES = {
    "latency": Unlike("connection", "4\\d\\d ms", {"latency": 0.4}),
    "few streams": Unlike("streams", "^16 are announced; beside 16 others", {"streams": 16}, facts={"streams": 16}),
    "some logs are lost": Unlike("logs", "of 40 lines.*; \\d+ lost", {"log_share": 0.5}, seconds=12),
    "no logs": Unlike("logs", "^0 of 40 lines; 40 lost", {"log_share": 1.0}, seconds=12),
    "late logs": Unlike("logs", "too late", {"log_delay": 3.0}),
    "logs that are soon gone": Unlike("logs", "opened again, the log has", {"log_retention": 1.0}),
    "INTERNAL": Unlike(
        "requests",
        "without an answer: InternalError: loopback fault",
        faults=fault("rpc", status="INTERNAL", seconds=2.5, once="AppPublish"),
        beside=["payloads"],
    ),
    "UNAVAILABLE": Unlike(
        "requests",
        "without an answer: ServiceError",
        faults=fault("rpc", status="UNAVAILABLE", seconds=2.5, once="AppPublish"),
        beside=["payloads"],
    ),
    "some requests fail": Unlike(
        "requests",
        r"the client has sent \d+ requests? again: UNAVAILABLE",
        faults=fault("rpc", status="UNAVAILABLE", share=0.3, seed=1, seconds=30.0, once="AppPublish"),
        beside=["payloads"],
    ),
    "requests are reset": Unlike(
        "requests",
        r"the client has sent \d+ requests? again: StreamTerminatedError",
        faults=fault("rpc", rpc="FunctionMap", reset=True, times=1),
        beside=["payloads"],
    ),
    "requests are throttled": Unlike(
        "requests",
        "the client has sent 1 request again: RESOURCE_EXHAUSTED",
        faults=fault("rpc", rpc="FunctionMap", status="RESOURCE_EXHAUSTED", retry_after=0.5, times=1),
        beside=["payloads"],
    ),
    "answers are late": Unlike(
        "requests", r"slowest [45]\.", faults=fault("rpc", rpc="ClientHello", delay=4.0, once="AppPublish")
    ),
    "a function that does not let go": Unlike("cancel", "another container has the next", {"cancel_grace": 0.0}),
    "warnings": Unlike("warnings", "^2024.10 is deprecated$", {"server_warnings": ["2024.10 is deprecated"]}),
    "a lost result": Unlike(
        "payloads", "100 B: no result within", faults=fault("output", how="lost", times=1), seconds=8
    ),
    "a garbled result": Unlike(
        "payloads", "100 B: no result: CorruptDataError", faults=fault("output", how="garbage", times=1)
    ),
    "a result that is something else": Unlike(
        "payloads", "100 B: the result is garbage", faults=fault("output", how="garbage", unpickles=True, times=1)
    ),
    "a result that would run code here": Unlike(
        "payloads", "100 B: no result: CorruptDataError", faults=fault("output", how="hostile", touches="run", times=1)
    ),
    "a result of another call": Unlike(
        "payloads", "9 KiB: came back changed", faults=fault("output", how="swapped", times=2)
    ),
    "an input that Modal fails": Unlike(
        "payloads", "100 B: no result: InternalFailure", faults=fault("internal_failure", function="probe", times=1)
    ),
    "a container that crashes": Unlike(
        "payloads", "in 2 containers", faults=fault("crash", function="probe", on_input=2, times=1)
    ),
    "a container that is preempted": Unlike(
        "payloads", "in 2 containers", faults=fault("preempt", function="probe", on_input=2, after=0.0, times=1)
    ),
    "containers that do not start": Unlike(
        "container", "no container: RemoteError", DEAD, fault("crash_on_start", function="probe")
    ),
    "a container that starts late": Unlike(
        "container", "^started in [3-9]", faults=fault("slow_start", function="probe", seconds=3.0), state="ok"
    ),
    "a GPU that comes late": Unlike(
        "gpu",
        f"^Tesla T4 after .*{SAID}",
        faults=late_gpu(seconds=3.0),
        state="ok",
        facts={"runners_count_queued": False},
    ),
    "a GPU that does not come": Unlike("gpu", f"^no T4 within .*{SAID}", faults=late_gpu(), seconds=8),
    "no GPU for the workspace": Unlike("gpu", f"^no T4 within .*{SAID}", {"gpu_limit": 0}, seconds=8),
    "another GPU": Unlike("gpu", "^NVIDIA L4 after", faults=fault("substitute_gpu", gpu="T4", given="L4")),
    "waiting containers are counted": Unlike(
        "gpu",
        "num_total_runners counts containers that wait",
        {"stats_count_queued": True},
        late_gpu(seconds=4.0),
        facts={"runners_count_queued": True},
    ),
    "memory has another exit status": Unlike(
        "memory",
        "^RemoteError with exit status 77, after 1 start$",
        {"memory_status": 77, **DEAD},
        facts={"out_of_memory_exit_codes": [2, 9, 137, -1, 77]},
    ),
    "memory has no limit": Unlike("memory", "1024 MiB were taken, with a limit of 512", {"memory_status": None}),
    "crashes are not tried again": Unlike(
        "crash", "^RemoteError with exit status 137, after 1 start$", DEAD, state="ok"
    ),
    "an image that cannot be built": Unlike(
        "image",
        "could not be built: error: no space on moon",
        faults=fault("image_build", log=["error: no space on moon"]),
    ),
    "an image that is built again": Unlike("image", "and built again in", environment={"MODAL_FORCE_BUILD": "1"}),
    "a stopped app that says nothing": Unlike("stopped", "its call never ends", {"stop_silent": True}, seconds=12),
    "a cancelled call that says nothing": Unlike("cancel", "the call never ends", {"stop_silent": True}, seconds=12),
    "heartbeats that are not heard": Unlike(
        "session", "was stopped meanwhile", {"heartbeat_timeout": 2.0}, beside=["streams"]
    ),
    "a refused token": Unlike("connection", "does not accept the token", faults=fault("token")),
    "no answer": Unlike("connection", "Modal does not answer at", faults=fault("hang"), seconds=5),
    "half a token": Unlike("configuration", "half of the token is missing", environment={"MODAL_TOKEN_SECRET": ""}),
}


# What cannot be seen from here, and nothing depends on it.
HIDDEN = {
    "a result that comes twice": Unlike("payloads", "^100 B", faults=fault("output", how="twice", times=1), state="ok"),
    "a result for an unknown input": Unlike(
        "payloads", "^100 B", faults=fault("output", how="unknown", times=1), state="ok"
    ),
    "a container that does not start at once": Unlike(
        "container", "^started in", faults=fault("crash_on_start", function="probe", times=1), state="ok"
    ),
}
# Settings that are sizes and places, and no faults.
SIZES = {
    "input_plane",
    "container_latency",
    "container_limit",
    "scaledown",
    "grace",
    "restart_delay",
    "backlog",
    "container_env",
    "hide",
}


def test_everything_that_can_be_made_otherwise_is_tried() -> None:
    tried = [*CASES.values(), *HIDDEN.values()]
    faults = [each for case in tried for each in case.faults]
    assert {each["kind"] for each in faults} == {*KINDS}
    assert {each.get("how") for each in faults} >= {*OUTPUTS}
    assert {name for case in tried for name in case.settings} == {each.name for each in fields(Settings)} - SIZES


@pytest.mark.parametrize("case", [*CASES.values(), *HIDDEN.values()], ids=[*CASES, *HIDDEN])
def test_what_is_not_as_assumed_has_its_line(modal_server: LoopbackModal, case: Unlike) -> None:
    modal_server.change(**case.settings)
    for each in case.faults:
        modal_server.fail(**each)
    seen = visit(case.check, *case.beside, "--limit", str(case.seconds), **case.environment)
    found = seen.check(case.check)
    assert re.search(case.says, found["says"])
    assert found["state"] == case.state
    assert seen.status == (0 if case.state == "ok" else 1)
    assert case.facts.items() <= seen.report["facts"].items()
    assert not Path("run").exists(), "a container has run code here"
    assert all(used["used"] for used in modal_server.facts()["faults"] if used["kind"] not in ("gpu", "hang"))
