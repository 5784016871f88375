"""Random faults over a batch of 60 calls: every good call passes after at most one ``--modal-resume``.

python benchmarks/soak.py [FAULTS [SEED [NAME ...]]]

Each fault hits one run, on this machine or on the loopback server. Then nothing may hang, no process of a call may be
left, and no directory. What a line says is enough to see it again: ``python benchmarks/soak.py 1 SEED NAME``.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from loopback_modal import LoopbackModal

CALLS = 60
MOST_SECONDS = 120.0  # of a run; without a fault it takes a few
MOST_SECONDS_TO_END = 15.0  # of what a run has started, once it has ended
SUITE = """
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container", params=["small", "large"])
    def model(request):
        yield {{"small": 1, "large": 1000}}[request.param]

    @pytest_modal.fixture(timeout=60)
    def answers(model, n):
        import os, pathlib, time
        pathlib.Path({marks!r}, f"{{model}}-{{n}}-{{os.getpid()}}").touch()
        if n == 3 and os.fork() == 0:  # leaves a daemon behind
            os.setsid()
            pathlib.Path({marks!r}, f"daemon-{{n}}-{{os.getpid()}}").touch()
            time.sleep(600)
            os._exit(0)
        time.sleep(0.02)
        return [n * model + i for i in range(100 * n)]

    @pytest.mark.parametrize("n", range(30))
    def test_it(answers, n):
        assert answers in ([n * model + i for i in range(100 * n)] for model in (1, 1000))
"""
INI = """
    [pytest]
    modal_startup_timeout = 30
    modal_acquire_timeout = 30
    modal_connection_timeout = 10
"""


@dataclass
class Run:
    """A run of pytest on the suite, and what is needed to hit it."""

    directory: Path
    marks: Path
    random: random.Random
    server: LoopbackModal | None = None
    arguments: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    earlier: list[int] = field(default_factory=list)

    def command(self, *more: str) -> list[str]:
        """Return the command of a run."""
        mode = ["--modal"] if self.server is not None else []
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *mode, *self.arguments, *more]

    def environment(self) -> dict[str, str]:
        """Return the environment of a run: a directory for temporary files is its own."""
        named = self.server.environ() if self.server is not None else dict(os.environ)
        kept = {name: value for name, value in named.items() if name not in ("CI", "PYTEST_ADDOPTS")}
        return {**kept, "TMPDIR": str(self.temporary), **self.variables}

    @property
    def temporary(self) -> Path:
        """The directory for temporary files."""
        return self.directory / "tmp"

    def start(self, *more: str) -> None:
        """Start a run, whose output is in a pipe."""
        self.process = subprocess.Popen(
            self.command(*more),
            cwd=self.directory / "project",
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def wait(self) -> tuple[int, str]:
        """Wait for the end of the run; return its exit status and its output.

        Raises
        ------
        subprocess.TimeoutExpired
            It hangs.
        """
        assert self.process is not None
        try:
            text, _ = self.process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise
        return self.process.returncode, text

    def await_calls(self, number: int) -> None:
        """Wait until so many calls have begun, or the run has ended."""
        assert self.process is not None
        deadline = time.monotonic() + MOST_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if sum(1 for _ in self.marks.iterdir()) >= number:
                return
            time.sleep(0.01)

    def some_moment(self) -> None:
        """Wait until some call runs, at random."""
        self.await_calls(self.random.randrange(1, CALLS))
        time.sleep(self.random.random() * 0.05)

    def pids(self) -> list[int]:
        """Return the processes of calls, those last that began last."""
        marks = sorted(self.marks.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [*self.earlier, *(int(path.name.rpartition("-")[2]) for path in marks)]

    def forget_faults(self) -> None:
        """Make the server behave again."""
        if self.server is not None:
            self.earlier = self.pids()
            self.server.reset()
            self.marks.mkdir(parents=True)

    def kept(self) -> list[Path]:
        """Return the files of results that earlier runs have left."""
        return sorted((self.directory / "project").glob(".pytest_cache/d/pytest_modal/outcomes/*/[!.]*"))


def kill_client(run: Run) -> None:
    """Kill pytest; with xdist all of its processes, as a container that ends does."""
    run.start()
    run.some_moment()
    assert run.process is not None
    os.killpg(run.process.pid, signal.SIGKILL)


def end_client(run: Run) -> None:
    """End pytest by a signal that can be handled."""
    run.start()
    run.some_moment()
    assert run.process is not None
    run.process.send_signal(run.random.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))


def kill_worker(run: Run) -> None:
    """Kill the process in which a call runs, up to three times."""
    run.start()
    for _ in range(run.random.randrange(1, 4)):
        run.some_moment()
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(run.pids()[-1], run.random.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)))


def kill_container(run: Run) -> None:
    """Kill a container of Modal's, or preempt it."""
    assert run.server is not None
    run.start()
    run.some_moment()
    alive = [each["id"] for each in run.server.facts()["containers"] if each["end_reason"] is None]
    if alive and run.random.random() < 0.5:
        run.server.kill(run.random.choice(alive), signal.SIGKILL)
    elif alive:
        run.server.preempt(run.random.choice(alive))


def fill_disk(run: Run) -> None:
    """Let files not grow beyond a limit, as a full disk does to the larger ones."""
    limit = run.random.randrange(2_000, 30_000)
    text = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
    conftest = run.directory / "project" / "conftest.py"
    conftest.write_text(text)
    run.start()
    run.some_moment()
    # The next run is free of it; this one has read it.
    conftest.write_text("")


def disturb_requests(run: Run) -> None:
    """Let requests of the client fail, be reset or be answered for nothing."""
    assert run.server is not None
    how: list[dict[str, Any]] = [{"status": "INTERNAL"}, {"status": "UNAVAILABLE"}, {"reset": True}]
    how += [{"reset": True, "done": True}, {"delay": 0.5}]
    share, seed = run.random.uniform(0.02, 0.15), run.random.randrange(1000)
    run.server.fail("rpc", times=None, once="AppPublish", share=share, seed=seed, **run.random.choice(how))
    run.start()


def disturb_results(run: Run) -> None:
    """Let results get lost, come twice, be garbage, or be those of nobody."""
    assert run.server is not None
    how = run.random.choice(("lost", "twice", "unknown", "garbage"))
    run.server.fail("output", times=run.random.randrange(1, 3), how=how)
    run.start()


def damage_files(run: Run) -> None:
    """Kill pytest, then damage some of the results that it has kept."""
    kill_client(run)
    run.wait()
    kept = run.kept()
    for path in run.random.sample(kept, min(len(kept), run.random.randrange(1, 6))):
        data = bytearray(path.read_bytes())
        place = run.random.randrange(len(data))
        match run.random.randrange(4):
            case 0:
                del data[place:]
            case 1:
                data[place] ^= 1 << run.random.randrange(8)
            case 2:
                data += run.random.randbytes(20)
            case _:
                data = bytearray(run.random.randbytes(place))
        path.unlink()  # not the file of a run that still reads it
        path.write_bytes(data)


def clear_cache(run: Run) -> None:
    """Clear pytest's cache by another run beside it, that selects nothing."""
    run.start()
    run.some_moment()
    command = [sys.executable, "-m", "pytest", "-q", "--cache-clear", "-k", "nothing"]
    beside = run.directory / "project"
    subprocess.run(command, cwd=beside, env=run.environment(), capture_output=True, check=False)


FAULTS: dict[str, Callable[[Run], None]] = {
    "kill the client": kill_client,
    "end the client": end_client,
    "kill the worker": kill_worker,
    "full disk": fill_disk,
    "damaged files": damage_files,
    "cache cleared": clear_cache,
    "kill the container": kill_container,
    "requests fail": disturb_requests,
    "results fail": disturb_results,
}
ON_MODAL = ("kill the container", "requests fail", "results fail")


def suffer(name: str, seed: int, server: LoopbackModal) -> str:
    """Let a run suffer a fault; return what is wrong afterwards, nothing if all is well."""
    chance = random.Random(f"{name} {seed}")
    on_modal = name in ON_MODAL or chance.random() < 0.3
    with _project(on_modal, server) as (directory, marks):
        run = Run(directory, marks, chance, server if on_modal else None)
        if not on_modal and chance.random() < 0.25:
            run.arguments += ["-n2"]
        try:
            FAULTS[name](run)
            _, text = run.wait()
            if not _all_passed(text):
                run.forget_faults()
                run.start("--modal-resume")
                _, text = run.wait()
        except subprocess.TimeoutExpired:
            return "hangs"
        finally:
            if run.process is not None and run.process.stdout is not None:
                run.process.stdout.close()
        faults = [] if _all_passed(text) else [f"not all passed:\n{text}"]
        return "; ".join([*faults, *_left_by(run)])


@contextlib.contextmanager
def _project(on_modal: bool, server: LoopbackModal) -> Iterator[tuple[Path, Path]]:
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        if on_modal:
            server.reset()
        marks = Path(tempfile.mkdtemp(dir=server.shared)) if on_modal else directory / "marks"
        for each in (marks, directory / "project", directory / "tmp"):
            each.mkdir(exist_ok=True)
        suite = textwrap.dedent(SUITE).format(marks=str(marks))
        (directory / "project" / "test_it.py").write_text(suite)
        (directory / "project" / "pytest.ini").write_text(textwrap.dedent(INI))
        yield directory, marks
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _all_passed(text: str) -> bool:
    return any(line.startswith(f"{CALLS} passed") for line in text.splitlines())


def _left_by(run: Run) -> Iterator[str]:
    deadline = time.monotonic() + MOST_SECONDS_TO_END
    while (left := [pid for pid in run.pids() if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        yield f"processes are left: {left}"
    places = [*run.temporary.glob("pytest-modal-*")]
    runs = (run.directory / "project").glob(".pytest_cache/pytest_modal/runs/*")
    places += [each for each in runs if each.is_dir()]
    if places:
        yield f"directories are left: {', '.join(map(str, places))}"


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def main(number: int, first: int, names: list[str]) -> int:
    """Suffer faults; return how many left something wrong."""
    wrong = Counter[str]()
    with LoopbackModal(grace=0.5, cancel_grace=0.5) as server:
        for count in range(number):
            name, seed = (names or [*FAULTS])[count % len(names or FAULTS)], first + count
            began = time.monotonic()
            said = suffer(name, seed, server)
            print(f"{count + 1:4} {name!r} {seed}: {said or 'ok'} ({time.monotonic() - began:.1f} s)", flush=True)
            wrong[name] += bool(said)
    print(f"{wrong.total()} of {number} faults left something wrong {dict(+wrong)}")
    return wrong.total()


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(min(1, main(int(given[0]) if given else 200, int(given[1]) if len(given) > 1 else 0, given[2:])))
