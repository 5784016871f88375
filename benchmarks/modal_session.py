"""Modal mode on the loopback server against a hand-written script: the same work, and many small calls.

python benchmarks/modal_session.py [CALLS [CALLS_WITH_LATENCY]]
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from loopback_modal import LoopbackModal

WORK = """
    def load():
        import time
        time.sleep(1.0)
        return 2

    def work(model, x):
        import time
        time.sleep(0.25)
        return [model * x] * 100
"""
SCRIPT = """
    import sys
    import modal

    app = modal.App("by-hand", include_source=False)
    image = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

    @app.function(serialized=True, image=image, gpu="T4")
    def run_all(xs):
        model = load()
        return [work(model, x) for x in xs]

    if __name__ == "__main__":
        with app.run():
            assert len(run_all.remote(list(range(12)))) == 12
"""
SUITE = """
    import pytest_modal

    @pytest_modal.fixture(scope="container", gpu="T4")
    def model(): return load()

    @pytest_modal.fixture(params=range(12))
    def answers(model, request): return work(model, request.param)

    def test_it(answers): assert len(answers) == 100
"""
MAP = """
    import sys, time
    import modal

    app = modal.App("by-hand", include_source=False)
    image = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

    @app.function(serialized=True, image=image, max_containers=1)
    def double(x): return 2 * x

    if __name__ == "__main__":
        with app.run():
            double.remote(1)
            started = time.perf_counter()
            assert sum(double.map(range(CALLS))) == CALLS * (CALLS - 1)
            print("seconds", time.perf_counter() - started)
"""
MANY = """
    import pytest_modal

    @pytest_modal.fixture(params=range(CALLS))
    def doubled(request): return 2 * request.param

    def test_it(doubled): pass
"""
PLAIN = """
    import pytest

    @pytest.mark.parametrize("x", range(12))
    def test_it(x): pass
"""
PYTEST = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"]


def run(server: LoopbackModal, directory: Path, *arguments: str) -> tuple[float, str]:
    """Return the wall time of a Python process, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=server.environ(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - started, done.stdout


def session_seconds(printed: str) -> float:
    """Return what the batch took, from the summary."""
    (line,) = (line for line in printed.splitlines() if line.startswith("time: "))
    units = {"s": 1, "min": 60, "h": 3600}
    _, *others = (re.findall(r"([\d.]+) (s|min|h)\b", part) for part in line.split(","))
    assert len(others) == 3, line
    return sum(float(number) * units[unit] for part in others for number, unit in part)


def small_calls(server: LoopbackModal, root: Path, calls: int) -> None:
    """Compare many small calls with `Function.map`."""
    server.reset()
    _, printed = run(server, root, "map.py")
    mapped = float(printed.split()[-1])
    server.reset()
    _, printed = run(server, root, *PYTEST, "--modal", "test_many.py")
    many = session_seconds(printed)
    facts = server.facts()
    print(
        f"{calls:,} small calls, ms each: Function.map {1e3 * mapped / calls:.2f}, "
        f"pytest --modal {1e3 * many / calls:.2f}"
    )
    print(f"ratio: {many / mapped:.3f}")
    print(
        f"sessions: {len(facts['apps'])}, containers: {len(facts['containers'])}, inputs: {len(facts['inputs'])}, "
        f"most RPCs at a time: {facts['most_rpcs_of_running_apps']}"
    )


def main(calls: int = 10_000, slow_calls: int = 1_000) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, LoopbackModal(grace=0.5) as server:
        root = Path(folder)
        write_files(root, calls)
        run(server, root, "script.py")  # builds the images
        by_hand = [run(server, root, "script.py")[0] for _ in range(3)]
        ours = [run(server, root, *PYTEST, "--modal", "test_same.py")[0] for _ in range(3)]
        start = [run(server, root, *PYTEST, "test_plain.py")[0] for _ in range(3)]
        hand, whole, alone = (statistics.median(each) for each in (by_hand, ours, start))
        print(f"the same work: by hand {hand:.2f} s; pytest --modal {whole:.2f} s, {alone:.2f} s of it pytest's own")
        print(f"ratio, pytest's own aside: {(whole - alone) / hand:.2f}")
        small_calls(server, root, calls)
    with tempfile.TemporaryDirectory() as folder, LoopbackModal(grace=0.5, latency=0.05) as server:
        print("with 50 ms of latency:")
        write_files(Path(folder), slow_calls)
        small_calls(server, Path(folder), slow_calls)


def write_files(root: Path, calls: int) -> None:
    """Write the scripts and suites."""
    sources = {"script": WORK + SCRIPT, "test_same": WORK + SUITE, "test_plain": PLAIN, "map": MAP, "test_many": MANY}
    for name, source in sources.items():
        text = textwrap.dedent(source).replace("CALLS", str(calls))
        (root / f"{name}.py").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
