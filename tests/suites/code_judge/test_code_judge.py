"""A judge of generated code: each program runs in a process of its own with a time limit, and pass@k is computed here.

The programs never run on this machine. What they did (passed, failed, crashed, never ended) comes back as rows; a
program that takes the judge down with it would cost one call, not the run.
"""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pytest_modal

PASSED = "all tests have passed"  # printed at the end, for a program can leave with status 0 before them


@pytest.fixture(scope="session")
def candidates() -> list[dict[str, Any]]:
    """What a model has written, several programs a problem."""
    problems = json.loads(Path(__file__).with_name("candidates.json").read_text(encoding="utf-8"))
    return [
        {"problem": name, "sample": sample, "program": program, "tests": problem["tests"]}
        for name, problem in problems.items()
        for sample, program in enumerate(problem["programs"])
    ]


def verdict_of(program: str, tests: str, seconds: float) -> str:
    """Run a program and its tests, in an empty directory and for so long."""
    import contextlib
    import os
    import signal
    import subprocess
    import sys
    import tempfile

    command = [sys.executable, "-I", "-c", f"{program}\n\n{tests}\nprint({PASSED!r})"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, cwd=scratch, text=True, start_new_session=True, **pipes) as process,
    ):
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what the program has started ends with it
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    if process.returncode:
        return errors.splitlines()[-1].partition(":")[0]
    return "passed" if output.endswith(f"{PASSED}\n") else "left early"


@pytest_modal.fixture(gpu="T4", timeout=300)
def verdicts(candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each program did."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda each: verdict_of(each["program"], each["tests"], seconds=4.0), candidates)
    return [{**each, "verdict": verdict} for each, verdict in zip(candidates, found, strict=True)]


def pass_at(k: int, samples: int, passed: int) -> float:
    """Return the chance that one of k samples passes, estimated without bias from more (Chen et al. 2021)."""
    return 1 - comb(samples - passed, k) / comb(samples, k)


def test_each_program_is_judged_for_what_it_did(verdicts: Any, save_csv: Any) -> None:
    table = save_csv("verdicts.csv", verdicts)
    assert table.groupby("problem").verdict.apply(list).to_dict() == {
        "factorial": ["passed", "passed", "RecursionError", "AssertionError"],
        "is_prime": ["passed", "AssertionError", "timed out", "SyntaxError"],
        "median": ["AssertionError", "left early", "killed by SIGSEGV", "timed out"],
    }


def test_pass_at_k(verdicts: Any, save_csv: Any) -> None:
    counts = pd.DataFrame(verdicts).groupby("problem").verdict.agg(n="size", c=lambda each: (each == "passed").sum())
    scores = {k: np.mean([pass_at(k, row.n, row.c) for row in counts.itertuples()]) for k in (1, 2, 4)}
    table = save_csv("pass_at_k.csv", {"k": [*scores], "score": [*scores.values()]})
    assert table.score.round(4).tolist() == [0.25, 0.4444, 0.6667]


@pytest.mark.parametrize(("k", "samples", "passed", "expected"), [(1, 4, 1, 0.25), (4, 4, 1, 1.0), (2, 4, 0, 0.0)])
def test_estimator(k: int, samples: int, passed: int, expected: float) -> None:
    assert pass_at(k, samples, passed) == pytest.approx(expected)
