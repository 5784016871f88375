"""Records of runs with everything that GitHub and GitLab are shown."""

from __future__ import annotations

from typing import Any

from pytest_modal.report.record import CallEntry, GateEntry, Record, TestEntry

HOSTILE = (
    "<script>alert(1)</script> [click](javascript:alert(2)) ![x](http://evil.example/x.png) @octocat #123 GH-7 "
    "<!-- hidden | `` ``` a\\|b \\ | \x1b[31mred\x1b]8;;http://evil.example\x07 \x00 \u202eevil\n::error::owned\r\n"
    "</code></details></summary> | --- |\n##[error]owned\n~~~\n````\n</pre> $x$ <img src=http://evil.example/y.png>"
)


def call(label: str = "answer[1]", **fields: Any) -> CallEntry:
    entry = CallEntry(
        key=f"key of {label}",
        label=label,
        function="answer",
        where="test_it.py:10",
        environment="gpu=H100",
        status="ok",
        container="ta-1",
        started=1_700_000_010.0,
        seconds=2.0,
        device="NVIDIA H100",
        given="NVIDIA H100",
        peak_memory=3 * 1024**3,
        attempts=1,
        value_bytes=100,
        reused=False,
        recorded="",
        error="",
        printed="",
        tests=["test_it.py::test_answer[1]"],
    )
    return {**entry, **fields}  # type: ignore[typeddict-item]


def failing_test(nodeid: str = "test_it.py::test_answer[1]", **fields: Any) -> TestEntry:
    text = fields.pop(
        "text", "answer[1] raised ValueError\n  where: test_it.py:12\nRemote traceback\nValueError: no data"
    )
    when = fields.pop("when", "setup")
    entry = TestEntry(
        nodeid=nodeid,
        file="test_it.py",
        line=20,
        outcome="error",
        seconds=0.1,
        message="ValueError: no data (in answer[1])",
        failed_at=("test_it.py", 12),
        phases=[{"when": when, "outcome": "failed", "seconds": 0.1, "text": text, "sections": []}],
        calls=["key of answer[1]"],
    )
    return {**entry, **fields}  # type: ignore[typeddict-item]


def gate(name: str = "toy", verdict: str = "FAIL", **fields: Any) -> GateEntry:
    change = {"then": 1.0, "now": 0.95, "change": -0.05, "interval": [-0.08, -0.02], "p": 0.0001}
    result = {
        "demands": {"higher_is_better": True},
        "score": False,
        "accuracy": 0.95,
        "change": change if verdict != "NO BASELINE" else None,
        "newly_failing": 10,
        "newly_passing": 0,
    }
    entry = GateEntry(
        gate=name,
        test="test_it.py::test_accuracy",
        verdict=verdict,
        failed=verdict == "FAIL",
        compared=verdict != "NO BASELINE",
        recorded=False,
        line=f"{name}  {verdict}  100.0% -> 95.0%, -5.0 points [-8.0, -2.0]",
        notes=[],
        baseline="baselines/toy.jsonl",
        update=None,
        result=result,
        rounds=[],
        flips=[],
        flips_in_all=0,
        items="",
    )
    return {**entry, **fields}  # type: ignore[typeddict-item]


def gate_test(**fields: Any) -> TestEntry:
    text = "ACCURACY REGRESSION  toy\n  10 of 200 items got worse"
    given = {"outcome": "failed", "line": 30, "calls": [], "when": "call", "text": text, "message": text[:24]}
    return failing_test("test_it.py::test_accuracy", **{**given, **fields})


def record(**fields: Any) -> Record:
    entry = Record(
        schema=1,
        id="20260901T120000-abc123def456",
        started="2026-09-01T12:00:00Z",
        seconds=130.0,
        ending="finished",
        exit_status=1,
        mode="modal",
        project="project",
        command=["--modal"],
        commit="abc123def456",
        branch="main",
        clean=True,
        platform="linux",
        versions={},
        seed="",
        sessions=[{"id": "ap-1", "url": "https://modal.com/apps/ours/main/ap-1", "round": None}],
        events=[{"what": "planning", "started": 1_700_000_000.0, "seconds": 1.5}],
        containers=[
            {
                "id": "ta-1",
                "environment": "gpu=H100",
                "gpu": "H100",
                "started": 1_700_000_005.0,
                "ended": 1_700_000_067.0,
                "seconds": 62.0,
                "dollars": 0.068,
                "machine": None,
            }
        ],
        loads=[{"label": "model", "container": "ta-1", "started": 1_700_000_006.0, "seconds": 12.0, "ok": True}],
        calls=[call(status="raised", error="answer[1] raised ValueError\n  where: test_it.py:12")],
        outcomes={"passed": 4, "failed": 1, "error": 1},
        tests=[failing_test(), gate_test()],
        artifacts=[
            {
                "path": "test_it/test_x/curve.png",
                "test": "test_it.py::test_x",
                "kind": "figure",
                "bytes": 2048,
                "sha256": "",
            },
            {
                "path": "test_it/test_x/rows.csv",
                "test": "test_it.py::test_x",
                "kind": "csv",
                "bytes": 1024,
                "sha256": "",
            },
        ],
        gates=[gate()],
        together="10 gates together  -0.8 points, p=0.3",
        gate_lines=["toy: baseline not written, because the gate failed"],
        cost={"dollars": 0.068, "complete": True, "prices": "list prices of September 2026"},
        notes=[],
        problems=[],
    )
    return {**entry, **fields}  # type: ignore[typeddict-item]


def hostile() -> Record:
    """Return a record in which every text of unknown origin is hostile."""
    bad_gate = gate(HOSTILE, line=f"{HOSTILE} FAIL", notes=[HOSTILE], verdict="FAIL", test=HOSTILE, baseline=HOSTILE)
    return record(
        project=HOSTILE,
        commit=HOSTILE,
        branch=HOSTILE,
        mode=HOSTILE,
        sessions=[{"id": HOSTILE, "url": f"https://modal.com/){HOSTILE}", "round": None}],
        events=[{"what": HOSTILE, "started": 0.0, "seconds": 1.0}],
        calls=[
            call(HOSTILE, device=HOSTILE, status="raised", error=HOSTILE, where=f"{HOSTILE}:3", tests=[HOSTILE]),
            call(f"fine {HOSTILE}", device=HOSTILE),
        ],
        tests=[
            failing_test(HOSTILE, message=HOSTILE, text=f"one\n{HOSTILE}", file=HOSTILE, failed_at=(HOSTILE, 3)),
            failing_test("other", message=HOSTILE, text=HOSTILE.replace("\n", " ").replace("\r", " ")),
        ],
        gates=[bad_gate],
        together=HOSTILE,
        gate_lines=[HOSTILE],
        cost={"dollars": 1.0, "complete": False, "prices": HOSTILE},
        notes=[HOSTILE],
        problems=[HOSTILE],
    )
