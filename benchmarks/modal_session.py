"""Modal mode on the loopback server: a hand-written script's work, many small calls, and the memory that calls take.

python benchmarks/modal_session.py [PART ...]

The parts are same, small, slow (each request of the client and of the containers takes 50 ms) and memory.
"""

from __future__ import annotations

import os
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
        time.sleep(1.0 * SCALE)
        return 2

    def work(model, x):
        import time
        time.sleep(0.25 * SCALE)
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
LARGE = """
    import pytest_modal

    @pytest_modal.fixture(params=range(CALLS))
    def rows(request): return bytes([request.param % 256]) * 200_000

    def test_it(rows): assert len(rows) == 200_000
"""
PLAIN = """
    import pytest

    @pytest.fixture(params=range(CALLS))
    def doubled(request): return 2 * request.param

    def test_it(doubled): pass
"""
SESSION = """
    from pathlib import Path

    import pytest_modal.run.runner as runner

    compute = runner.compute

    def resident():
        return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

    def measured(*arguments):
        before = resident()
        compute(*arguments)
        Path("session.txt").write_text(str((resident() - before) / 2**20))

    runner.compute = measured
"""
PYTEST = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"]


def run(server: LoopbackModal, directory: Path, *arguments: str) -> tuple[float, float, str]:
    """Return the wall time of a Python process, its peak memory in MB, and what it printed."""
    # Users have the bytecode of what they installed.
    environ = {name: value for name, value in server.environ().items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, cwd=directory, env=environ, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        printed = out.read()
    assert status == 0, printed
    return seconds, used.ru_maxrss / 1024, printed


def session_seconds(printed: str) -> float:
    """Return what the batch took, from the summary."""
    (line,) = (line for line in printed.splitlines() if line.startswith("time: "))
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    _, *others = (re.findall(r"([\d.]+) (ms|s|min|h)\b", part) for part in line.split(","))
    assert len(others) == 3, line
    return sum(float(number) * units[unit] for part in others for number, unit in part)


def write_files(root: Path, calls: int = 12, scale: float = 1.0) -> None:
    """Write the scripts and suites; `scale` times four seconds is the work of the first two."""
    sources = {"script": WORK + SCRIPT, "test_same": WORK + SUITE, "map": MAP}
    sources |= {"test_many": MANY, "test_large": LARGE, "test_plain": PLAIN, "resident": SESSION}
    for name, source in sources.items():
        text = textwrap.dedent(source).replace("CALLS", str(calls)).replace("SCALE", str(scale))
        (root / f"{name}.py").write_text(text, encoding="utf-8")


def same(scale: float) -> None:
    """Compare the same work, in one function, with a script by hand."""
    with tempfile.TemporaryDirectory() as folder, LoopbackModal(grace=0.5) as server:
        root = Path(folder)
        write_files(root, scale=scale)
        for program in (["script.py"], [*PYTEST, "--modal", "test_same.py"]):  # builds the images
            run(server, root, *program)
        programs = ["script.py"], [*PYTEST, "--modal", "test_same.py"], [*PYTEST, "test_plain.py"]
        taken = [[run(server, root, *program)[0] for program in programs] for _ in range(5)]
    hand, whole, alone = map(statistics.median, zip(*taken, strict=True))
    print(
        f"the same work, {4 * scale:.0f} s: by hand {hand:.2f} s; pytest --modal {whole:.2f} s, pytest's {alone:.2f} s"
    )
    print(f"  ratio, pytest's own aside: {(whole - alone) / hand:.3f}")


def small(calls: int, latency: float = 0.0) -> None:
    """Compare many small calls with `Function.map`."""
    settings = {"latency": latency, "container_latency": latency}
    with tempfile.TemporaryDirectory() as folder, LoopbackModal(grace=0.5, **settings) as server:
        root = Path(folder)
        write_files(root, calls)
        _, _, printed = run(server, root, "map.py")
        mapped = float(printed.split()[-1])
        server.reset()
        _, _, printed = run(server, root, *PYTEST, "--modal", "test_many.py")
        many, facts = session_seconds(printed), server.facts()
    print(f"{calls:,} small calls, {1e3 * latency:.0f} ms a request; ms each: ", end="")
    print(f"Function.map {1e3 * mapped / calls:.2f}, pytest --modal {1e3 * many / calls:.2f}")
    print(f"  ratio: {many / mapped:.3f}; {len(facts['inputs'])} inputs, ", end="")
    print(f"at most {facts['most_rpcs_of_running_apps']} requests at a time")


def memory(few: int, many: int) -> None:
    """Print the memory of `Function.map`, and of pytest for calls with small results, none, and results of 200 KB."""
    less, more = memory_of(few), memory_of(many)
    for what, one in less.items():
        scale = 10 if "200 KB" in what else 1
        print(f"MB for {few // scale:,} and {many // scale:,} calls: {what} {one:.0f} and {more[what]:.0f}, ", end="")
        print(f"{1024 * (more[what] - one) / (many - few) * scale:.1f} KB more for each")


def memory_of(calls: int) -> dict[str, float]:
    """Return peaks of processes, and what a session adds to what its process has when it begins, in MB."""
    with tempfile.TemporaryDirectory() as folder, LoopbackModal(grace=0.5) as server:
        root = Path(folder)
        write_files(root, calls)
        found = {"Function.map": run(server, root, "map.py")[1]}
        found["pytest --modal"] = run(server, root, *PYTEST, "-p", "resident", "--modal", "test_many.py")[1]
        found["the session of that"] = float((root / "session.txt").read_text())
        found["plain tests"] = run(server, root, *PYTEST, "test_plain.py")[1]
        write_files(root, calls // 10)
        found["results of 200 KB"] = run(server, root, *PYTEST, "--modal", "test_large.py")[1]
    return found


PARTS = {
    "same": lambda: [same(scale) for scale in (1, 5)],
    "small": lambda: small(10_000),
    "slow": lambda: small(2_000, 0.05),
    "memory": lambda: memory(5_000, 20_000),
}


def main(*parts: str) -> None:
    """Measure and print."""
    for part in parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main(*sys.argv[1:])
