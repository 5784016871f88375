"""What the plugin costs a suite of 5,000 plain tests: wall time with it, against ``-p no:pytest_modal``.

    python benchmarks/plain_suite.py [ROUNDS]

The two are run in turn, so that a busy machine is busy for both; the ratio of the medians is printed, and the
time that importing the plugin takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES, TESTS = 50, 100
# As after an installation: modules are compiled once, not at each start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def write_suite(directory: Path) -> None:
    """Write 5,000 tests, a fixture and a class in each file."""
    for number in range(FILES):
        lines = ["import pytest", "@pytest.fixture", "def value(): return 1", "class TestSome:"]
        lines += [f"    def test_{test}(self, value): assert value" for test in range(TESTS)]
        (directory / f"test_{number}.py").write_text("\n".join(lines) + "\n")


def seconds(directory: Path, *arguments: str) -> float:
    """Return the wall time of one run of pytest."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - started


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write_suite(directory)
        runs: dict[str, list[float]] = {"with": [], "without": []}
        seconds(directory)  # compiles
        for _ in range(rounds):
            runs["without"].append(seconds(directory, "-p", "no:pytest_modal"))
            runs["with"].append(seconds(directory))
    medians = {name: statistics.median(times) for name, times in runs.items()}
    best = {name: min(times) for name, times in runs.items()}
    for name in runs:
        print(f"{name} the plugin: median {medians[name]:.2f} s, fastest {best[name]:.2f} s of {rounds}")
    for name, chosen in {"medians": medians, "the fastest": best}.items():
        print(f"ratio of {name}: {chosen['with'] / chosen['without']:.4f}")
    code = "import pytest, time; t = time.perf_counter(); import pytest_modal.plugin; print(time.perf_counter() - t)"
    imports = [float(subprocess.check_output([sys.executable, "-c", code], env=ENVIRONMENT)) for _ in range(rounds)]
    print(f"import of the plugin: {1000 * statistics.median(imports):.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
