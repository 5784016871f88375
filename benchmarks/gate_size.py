"""A gate of 100,000 items against five rounds: seconds and peak memory of each step, and of the gate as a whole.

    python benchmarks/gate_size.py [ITEMS]

The bars are 1 s and 500 MB for the gate as a whole, from a test's rows to the verdict and its flips; importing scipy is
not counted, it is printed by itself. For ``pytest-modal compare`` of two files of as many items it is 3 s, its start
included. Each step runs once. On a loaded machine the seconds of the processor are what the bars are for.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

started = time.perf_counter()
import numpy as np  # noqa: E402

from pytest_modal.gate.judge.baseline_file import baseline_texts, read_baseline  # noqa: E402
from pytest_modal.gate.judge.evaluation import pool  # noqa: E402
from pytest_modal.gate.judge.flips import flips  # noqa: E402
from pytest_modal.gate.judge.policy import Demands, Origin, Policy  # noqa: E402
from pytest_modal.gate.judge.rows import Columns, read_rows  # noqa: E402
from pytest_modal.gate.judge.statistics import compare  # noqa: E402
from pytest_modal.gate.judge.update import plan_update  # noqa: E402
from pytest_modal.gate.judge.verdict import judge  # noqa: E402

imports = time.perf_counter() - started
ROUNDS, TEST = 5, "test_size.py::test_size"


def rows(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return one round of results, with 2% of flips."""
    right = (np.arange(n) % 4 > 0) ^ (rng.random(n) < 0.02)
    return [
        {"id": f"item/{i:06}", "input": f"What is {i} + {i}?", "output": f"{i} or so", "correct": bool(right[i])}
        for i in range(n)
    ]


def timed(what: str, step: Callable[[], Any], total: list[float] | None = None) -> Any:
    """Run one step and print its seconds, which may be a part of a total."""
    begun, busy = time.perf_counter(), processor_seconds()
    result = step()
    seconds, spent = time.perf_counter() - begun, processor_seconds() - busy
    if total is not None:
        total.append(spent)
    print(f"{what}: {seconds:.3f} s, {spent:.3f} of the processor", flush=True)
    return result


def processor_seconds() -> float:
    """Return what this process and those that it has started have taken."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def compare_files(n: int, rng: np.random.Generator) -> None:
    """Time the command on two files."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch, f"{name}.jsonl") for name in ("then", "now")]
        for path in paths:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows(n, rng)))
        command = [sys.executable, "-m", "pytest_modal.cli", "compare", *map(str, paths)]
        timed("pytest-modal compare", lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def main(n: int) -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    print(f"imports: {imports:.2f} s")
    for share in (0.02, 1.0):
        chance = np.where(rng.random(n) < share, rng.random(n), rng.random(n) < 0.75)
        then, now = rng.binomial(ROUNDS, chance), rng.binomial(1, chance)
        timed(
            f"statistics, {n:,} items of which {100 * share:g}% vary",
            lambda then=then, now=now: compare(then, 5, now, 1),
        )
    then_scores, now_scores = ROUNDS * rng.random(n), rng.random(n)
    timed("statistics of scores", lambda: compare(then_scores, ROUNDS, now_scores, 1))
    table = rows(n, rng)
    demands, policy, origin = Demands(), Policy(confirm=4), Origin()
    each = read_rows(table, Columns(), "size", TEST)
    recorded = pool([each] * ROUNDS, "size", TEST)
    common: dict[str, Any] = {"demands": demands, "policy": policy, "origin": origin, "where": TEST, "test": TEST}
    first = judge("size", recorded, None, **common)
    update = plan_update(first, recorded, None, origins=[origin] * ROUNDS, date="2026-01-31")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "baselines", "size.jsonl")
        path.parent.mkdir()
        timed("write the baseline", lambda: path.write_text(baseline_texts(update.baseline)[0]))
        print(f"size of the baseline: {path.stat().st_size / 2**20:.1f} MiB")
        table, total = rows(n, rng), list[float]()
        again = timed("read one round of rows", lambda: read_rows(table, Columns(), "size", TEST), total)
        baseline = timed("read the baseline", lambda: read_baseline(path, "size", TEST), total)
    result = timed("judge", lambda: judge("size", again, baseline, **common), total)
    timed("list the flips", lambda: flips(again, baseline), total)
    print(f"the gate as a whole: {sum(total):.3f} s of the processor; {result.verdict}, p={result.change.p:.3g}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of the process: {peak * (1 if sys.platform == 'darwin' else 1024) / 1e6:.0f} MB")
    compare_files(n, rng)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
