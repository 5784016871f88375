"""A record of a run on Modal, with its files: two GPUs, failures, gates with flips, figures and tables."""

from __future__ import annotations

import copy
import hashlib
import random
from pathlib import Path
from typing import Any

from sample_files import write_files

from pytest_modal.report.record import (
    CallEntry,
    ContainerEntry,
    GateEntry,
    LoadEntry,
    PhaseEntry,
    Record,
    RoundEntry,
    TestEntry,
)

START = 1_795_000_000.0
H100 = "NVIDIA H100 80GB HBM3"
A10 = "NVIDIA A10"
REMOTE_ERROR = """call failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 12.00 GiB.
  where: inference.py:41 (answers[long-prompts])
  what to do: use smaller batches, a lower precision, or a larger gpu=

Remote traceback:
  File "inference.py", line 41, in answers
    return model.generate(**inputs, max_new_tokens=512)
  File "/usr/local/lib/python3.12/site-packages/transformers/generation/utils.py", line 2215, in generate
    result = self._sample(input_ids, **model_kwargs)
E torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 12.00 GiB. GPU 0 has a total capacity of 21.98 GiB
E of which 4.31 GiB is free."""
TRACEBACK = """    def test_calibration_error_is_small(probabilities, save_figure):
        error = expected_calibration_error(probabilities)
>       assert error < 0.05
E       assert 0.0713 < 0.05

test_calibration.py:38: AssertionError"""


def sample_record(root: Path) -> Record:
    """Return the record of a run whose files lie below `root`, where they are written."""
    files = write_files(root)
    loads: list[LoadEntry] = [
        {"label": "model", "container": "ta-01JGT8", "started": START + 31, "seconds": 18.4, "ok": True},
        {"label": "model", "container": "ta-01JGV2", "started": START + 34, "seconds": 24.9, "ok": True},
        {"label": "judge", "container": "ta-01JGV2", "started": START + 70.4, "seconds": 8.2, "ok": True},
    ]
    calls = _calls()
    tests = _tests(calls)
    return {
        "schema": 1,
        "id": "20261118T112640-9f3c2ab71d",
        "selection": "5d1f0a7b",
        "started": "2026-11-18T11:26:40+00:00",
        "seconds": 141.7,
        "ending": "finished",
        "exit_status": 1,
        "mode": "modal",
        "project": "small-language-models",
        "command": ["--modal", "evals/", "-k", "not slow"],
        "commit": "9f3c2ab71d0c4e5f9a7b",
        "branch": "longer-prompts",
        "clean": False,
        "platform": "Linux-6.8-x86_64",
        "versions": {
            "Python": "3.12.8",
            "pytest": "9.2.0",
            "pytest-modal": "0.1.0",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "numpy": "2.4.6",
        },
        "seed": "1234",
        "sessions": [{"id": "ap-8sQzT0WmX2", "url": "https://modal.com/apps/ap-8sQzT0WmX2", "round": None}],
        "events": [
            {"what": "planning", "started": START, "seconds": 1.2},
            {"what": "connecting", "started": START + 1.2, "seconds": 1.9},
            {"what": "images and containers", "started": START + 3.1, "seconds": 21.0},
        ],
        "containers": _containers(),
        "loads": loads,
        "calls": calls,
        "outcomes": {"passed": 37, "failed": 3, "error": 2, "skipped": 3, "xfailed": 1},
        "tests": tests,
        "artifacts": files,
        "gates": _gates(),
        "together": "all gates together: no drop (p=0.21)",
        "cost": {"dollars": 0.163, "complete": True, "prices": "Modal's list prices of November 2026"},
        "notes": ["2 results are from an earlier run (--modal-resume)"],
        "problems": [],
    }


def earlier_record(record: Record) -> Record:
    """Return a record of the same tests two days before: one more passed, some calls were faster."""
    earlier = copy.deepcopy(record)
    earlier.update(
        id="20261116T090000-1b2c3d4e5f", started="2026-11-16T09:00:00+00:00", commit="1b2c3d4e5f6a", clean=True
    )
    earlier["branch"] = "main"
    for test in earlier["tests"]:
        if "calibration_error" in test["nodeid"]:
            test["outcome"] = "passed"
    for call in earlier["calls"]:
        if call["label"].startswith("losses"):
            call["seconds"] /= 2.3
    earlier["artifacts"][0]["sha256"] = "0" * 64
    earlier["versions"]["transformers"] = "5.22.1"
    earlier["gates"][0] |= {"verdict": "PASS", "failed": False}
    earlier["gates"][0]["result"]["accuracy"] = 0.912
    return earlier


def _containers() -> list[ContainerEntry]:
    def machine(gpu: str, memory: int) -> Any:
        return {"python": "3.12.8", "torch": "2.13.0", "cuda": "12.8", "driver": "570.86", "gpu": gpu, "memory": memory}

    return [
        {
            "id": "ta-01JGT8",
            "environment": "gpu=H100, torch, transformers",
            "gpu": "H100",
            "started": START + 22.0,
            "ended": START + 126.0,
            "seconds": 104.0,
            "dollars": 0.1141,
            "machine": machine(H100, 85_029_158_912),
        },
        {
            "id": "ta-01JGV2",
            "environment": "gpu=A10, torch, transformers",
            "gpu": "A10",
            "started": START + 24.1,
            "ended": START + 139.0,
            "seconds": 114.9,
            "dollars": 0.0352,
            "machine": machine(A10, 23_609_475_072),
        },
        {
            "id": "ta-01JGX9",
            "environment": "gpu=A10, torch, transformers",
            "gpu": "A10",
            "started": START + 88.0,
            "ended": START + 133.0,
            "seconds": 45.0,
            "dollars": 0.0138,
            "machine": machine(A10, 23_609_475_072),
        },
    ]


def _calls() -> list[CallEntry]:
    """Return calls of one function on each GPU, one after the other in its container."""
    rng = random.Random(0)
    calls: list[CallEntry] = []
    clocks = {"ta-01JGT8": START + 49.6, "ta-01JGV2": START + 80.0, "ta-01JGX9": START + 96.0}

    def add(label: str, container: str, seconds: float, **other: Any) -> None:
        call: dict[str, Any] = {
            "key": f"{len(calls):064x}",
            "label": label,
            "function": label.partition("[")[0],
            "where": "evals/inference.py:34",
            "environment": "gpu=H100" if container == "ta-01JGT8" else "gpu=A10",
            "status": "ok",
            "container": container,
            "started": clocks[container],
            "seconds": seconds,
            "device": H100 if container == "ta-01JGT8" else A10,
            "given": H100 if container == "ta-01JGT8" else A10,
            "peak_memory": int(rng.uniform(2, 18) * 2**30),
            "attempts": 1,
            "value_bytes": 20_480,
            "reused": False,
            "recorded": "",
            "error": "",
            "printed": "",
            "tests": [],
        }
        calls.append(call | other)  # type: ignore[arg-type]
        clocks[container] += seconds + rng.uniform(0.05, 0.4)

    for index in range(18):
        add(f"losses[{index}]", "ta-01JGT8", rng.uniform(1.5, 5.0))
    for index in range(14):
        add(f"answers[{index}]", "ta-01JGV2", rng.uniform(0.6, 3.0), printed=f"batch {index}: 32 answers\n")
    failed = {"status": "raised", "error": REMOTE_ERROR, "device": A10, "peak_memory": 18_970_000_000}
    printed = "tokenizing 412 prompts\nlongest: 8192 tokens\n"
    add("answers[long-prompts]", "ta-01JGV2", 9.1, attempts=2, printed=printed, **failed)
    for index in range(8):
        add(f"score[{index}]", "ta-01JGX9", rng.uniform(0.8, 4.4))
    return calls


def _phase(when: str, outcome: str = "passed", text: str = "", sections: Any = ()) -> PhaseEntry:
    return {"when": when, "outcome": outcome, "seconds": 0.01, "text": text, "sections": list(sections)}


def _tests(calls: list[CallEntry]) -> list[TestEntry]:
    tests: list[TestEntry] = []

    def add(nodeid: str, outcome: str = "passed", seconds: float = 0.3, using: str = "", **other: Any) -> None:
        phases = [_phase("setup"), _phase("call", outcome if outcome in ("failed", "skipped") else "passed")]
        test: dict[str, Any] = {
            "nodeid": nodeid,
            "file": nodeid.partition("::")[0],
            "line": 20 + len(tests),
            "outcome": outcome,
            "seconds": seconds,
            "message": "",
            "failed_at": None,
            "phases": [*phases, _phase("teardown")],
            "calls": [call["key"] for call in calls if using and call["label"].startswith(using)],
        }
        tests.append(test | other)  # type: ignore[arg-type]
        for call in calls:
            if call["key"] in tests[-1]["calls"]:
                call["tests"].append(nodeid)

    add("evals/test_training.py::test_loss_falls", seconds=1.9, using="losses")
    add("evals/test_training.py::test_loss_of_each_seed_is_close[0-1-2]", seconds=0.6, using="losses[1")
    failure = _phase("call", "failed", TRACEBACK, [("Captured stdout call", "bins: 10\nlargest gap: 0.19 in bin 9\n")])
    add(
        "evals/test_calibration.py::test_calibration_error_is_small",
        "failed",
        seconds=0.8,
        using="answers[3]",
        message="assert 0.0713 < 0.05",
        failed_at=("evals/test_calibration.py", 38),
        phases=[_phase("setup"), failure, _phase("teardown")],
    )
    broken = [_phase("setup", "failed", REMOTE_ERROR), _phase("teardown")]
    message = "OutOfMemoryError: CUDA out of memory. Tried to allocate 12.00 GiB. (in answers[long-prompts])"
    for name in ("test_long_prompts_are_answered", "test_long_prompts_keep_their_order"):
        nodeid = f"evals/test_inference.py::{name}"
        add(nodeid, "error", using="answers[long", message=message, phases=broken)
    add("evals/test_inference.py::test_answers_are_short", using="answers[1]", seconds=0.4)
    add("evals/test_accuracy.py::test_arithmetic", "failed", message="WORSE  arithmetic  91.3% -> 88.1%", seconds=1.2)
    add("evals/test_accuracy.py::test_reading", using="score", seconds=0.9)
    add("evals/test_accuracy.py::test_negative_log_likelihood", using="score[1]", seconds=0.7)
    add("evals/test_kernels.py::test_flash_attention", "skipped", seconds=0.0, message="needs an H200")
    add("evals/test_kernels.py::test_fp8", "xfailed", seconds=0.2, message="reason: rounding of fp8 is not symmetric")
    for index in range(12):
        add(
            f"evals/test_inference.py::test_batch_is_answered[{index}]",
            using=f"answers[{index}]",
            seconds=0.1 + index / 40,
        )
    return tests


def _change(then: float, change: float, half: float, n: int, error: float = 0.0225, p: float = 0.2) -> dict[str, Any]:
    return {
        "method": "exact paired test",
        "n": n,
        "k": 5,
        "m": 5,
        "then": then,
        "now": then + change,
        "interval": [change - half, change + half],
        "error": error,
        "p": p,
        "p_gain": 1 - p,
        "standard_error": half / 2,
        "smallest_p": 1e-9,
        "single_drop": False,
        "single_gain": False,
        "change": change,
    }


def _gate(name: str, verdict: str, change: dict[str, Any] | None, *, score: bool = False, **other: Any) -> GateEntry:
    now = 0.8 if change is None else abs(change["now"])
    half = 0.012 if not score else 0.02
    result: dict[str, Any] = {
        "gate": name,
        "verdict": verdict,
        "failed": verdict == "FAIL",
        "n": 1200 if change is None else change["n"],
        "rounds": 5,
        "score": score,
        "accuracy": now,
        "accuracy_interval": [now - half, now + half],
        "demands": {"min_accuracy": None, "min_drop": 0.005, "margin": None, "higher_is_better": not score},
        "change": change,
        "newly_failing": 0,
        "newly_passing": 0,
        "categories": [],
    }
    entry: dict[str, Any] = {
        "gate": name,
        "test": f"evals/test_accuracy.py::test_{name.replace('-', '_')}",
        "verdict": verdict,
        "failed": verdict == "FAIL",
        "compared": change is not None,
        "line": "",
        "notes": [],
        "baseline": None if change is None else f"evals/baselines/{name}.jsonl",
        "update": None,
        "result": result,
        "rounds": [],
        "flips": [],
        "flips_in_all": 0,
        "items": "",
    }
    return entry | other  # type: ignore[return-value]


def _rounds(value: float, spread: float) -> list[RoundEntry]:
    rng = random.Random(7)
    past = [
        ("2026-06-02", value - 0.021, "baseline"),
        ("2026-08-19", value - 0.008, "baseline"),
        ("2026-10-01", value + 0.002, "accepted: a smaller tokenizer"),
    ]
    now = [(f"2026-11-0{2 + index // 2}", value + rng.uniform(-spread, spread), "round") for index in range(5)]
    return [
        {
            "date": date,
            "value": at,
            "what": what,
            "commit": hashlib.sha1(f"{date} {index}".encode()).hexdigest()[:10],
            "app": "modal",
            "gpu": "H100",
        }
        for index, (date, at, what) in enumerate([*past, *now])
    ]


def _gates() -> list[GateEntry]:
    rng = random.Random(3)
    flips = []
    for index in range(52):
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        worse = index < 43
        right, wrong = str(a + b), str(a + b + rng.choice([-10, -1, 1, 10]))
        was, now = (right, wrong) if worse else (wrong, right)
        flips.append(
            {
                "id": f"addition/{a}-{b}",
                "direction": "worse" if worse else "better",
                "was": f"{a} + {b} = {was}",
                "now": f"{a} + {b} = {now}",
                "input": f"What is {a} + {b}? Answer with the number only.",
                "right_then": "5/5" if worse else "0/5",
                "right_now": "1/5" if worse else "5/5",
            }
        )
    arithmetic = _gate(
        "arithmetic", "FAIL", _change(0.913, -0.032, 0.011, 1200, p=0.00002), rounds=_rounds(0.913, 0.004)
    )
    arithmetic |= {"flips": flips, "flips_in_all": 52}  # type: ignore[typeddict-item]
    arithmetic["result"] |= {
        "newly_failing": 43,
        "newly_passing": 9,
        "categories": [
            {"name": "addition", "verdict": "FAIL", "change": _change(0.95, -0.06, 0.02, 600)},
            {"name": "subtraction", "verdict": "PASS", "change": _change(0.876, -0.004, 0.016, 600)},
        ],
    }
    arithmetic["notes"] = ["gate arithmetic: the baseline was made with transformers 5.22.1, this run has 5.23.0"]
    reading = _gate("reading", "PASS", _change(0.741, 0.003, 0.009, 800), rounds=_rounds(0.741, 0.006))
    long = _gate("long-prompts-of-support-tickets", "INCONCLUSIVE", _change(0.62, -0.019, 0.028, 150, p=0.09))
    better = _gate("translation", "IMPROVED", _change(0.55, 0.034, 0.014, 900, p=0.99), rounds=_rounds(0.55, 0.005))
    likelihood = _gate("negative-log-likelihood", "PASS", _change(-2.31, 0.02, 0.05, 500), score=True)
    likelihood["result"]["demands"]["min_drop"] = 0.1
    return [arithmetic, reading, long, better, likelihood, _gate("summaries", "NO BASELINE", None)]
