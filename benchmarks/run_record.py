"""What the record of a run costs: in a run of 5,000 calls, and in that of the example suite.

    python benchmarks/run_record.py [CALLS]

The bars are 1 s, and 2% of the run. All that is done for the record is counted: entries of calls and tests, the state
of the repository, secrets, three times writing (the batch is known, it has run, the end), and what is made ready in a
thread while the batch runs (`_prepare`): the templates of the page, and an earlier run to compare with. Seconds are the
processor's: the machine may be busy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Adds up the time in the functions that only the record needs, and says how long pytest took.
TIMER = """
import functools, time

STARTED, SPENT = time.perf_counter(), {}

def timed(owner, name):
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        began = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            SPENT[name] = SPENT.get(name, 0.0) + time.thread_time() - began

    setattr(owner, name, wrapper)

def pytest_configure(config):
    from pytest_modal.records import building, hooks, renderers, reports
    from pytest_modal.run import runner

    for owner, names in (
        (hooks, ("build", "write_early", "write_record", "mark")),
        (building, ("commit_of",)),
        (renderers, ("_prepare",)),
        (reports.ReportedTests, ("add",)),
        (runner, ("note_entries",)),
    ):
        for name in names:
            timed(owner, name)

def pytest_unconfigure(config):
    total, whole = sum(SPENT.values()), time.perf_counter() - STARTED
    parts = ", ".join(f"{name} {seconds:.3f}" for name, seconds in SPENT.items())
    print(f"record: {total:.2f} s of {whole:.1f} s, {100 * total / whole:.1f}% ({parts})")
"""
SUITE = """
import pytest, pytest_modal

@pytest_modal.fixture
def answer(number):
    print("question", number)
    return {"id": number, "output": "x" * 200}

@pytest.mark.parametrize("number", range(%d))
def test_answer(answer, number): assert answer["id"] == number
"""


def run(directory: Path, timer: Path) -> None:
    """Run pytest, and print what the record cost and how large it is."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(timer)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "record_timer", "-p", "no:randomly"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    print(*(line for line in done.stdout.splitlines() if line.startswith("record: ")), sep="\n")
    print(f"run.json: {(directory / 'modal_output/run.json').stat().st_size / 1e6:.1f} MB")


def main(calls: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        timer, suite, example = (Path(scratch, name) for name in ("timer", "suite", "example"))
        for each in (timer, suite):
            each.mkdir()
        (timer / "record_timer.py").write_text(TIMER)
        (suite / "test_answers.py").write_text(SUITE % calls)
        for which in ("the first run", "a run like the last one"):
            print(f"{calls:,} calls, {which}")
            run(suite, timer)
        shutil.copytree(ROOT / "example_suite", example)
        print("the example suite")
        run(example, timer)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
