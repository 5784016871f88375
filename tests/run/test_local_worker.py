"""The worker process of local mock mode: what it keeps, how often it tries, and that it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest


def test_what_follows_the_yield_runs_when_the_last_user_is_done(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import builtins
        import pytest
        import pytest_modal

        @pytest_modal.fixture(scope="container", params=["a", "b"])
        def model(request):
            import builtins
            alive = builtins.__dict__.setdefault("alive", [])
            alive.append(request.param)
            yield alive
            alive.remove(request.param)

        @pytest_modal.fixture(params=[1, 2])
        def alive(request, model):
            return list(model)

        def test_one_at_a_time(alive):
            assert len(alive) == 1
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=4)


def test_retries_are_as_many_as_declared(pytester: pytest.Pytester) -> None:
    counter = pytester.path / "count"
    pytester.makepyfile(
        f"""
        import pytest

        def flaky(path):
            with open(path, "a") as file:
                file.write("x")
            with open(path) as file:
                if len(file.read()) < 3:
                    raise ConnectionError
            return 1

        @pytest.mark.modal_gpu(function=flaky, retries=2, args={{"path": {str(counter)!r}}})
        def test_it(modal_result):
            assert modal_result == 1
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)
    assert counter.read_text() == "xxx"


ENDLESS = """
    import pytest

    def endless():
        import os, time
        with open({pid!r}, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)

    @pytest.mark.modal_gpu(function=endless)
    def test_it(modal_result): pass
"""


def test_ctrl_c_stops_the_worker_and_reaches_pytest(pytester: pytest.Pytester) -> None:
    pid = pytester.path / "pid"
    pytester.makepyfile(ENDLESS.replace("{pid!r}", repr(str(pid))))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _wait_until(lambda: pid.exists() and pid.read_text() != "")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    _wait_until(lambda: not _alive(int(pid.read_text())))


SIGNALLED = """
    import pytest
    import pytest_modal

    @pytest_modal.fixture(params=range(40))
    def value(request):
        import os, pathlib, subprocess, sys, time
        if request.param == 12:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            pathlib.Path({pids!r}).write_text(f"{os.getpid()} {child.pid}")
            time.sleep(60)
        return request.param

    def test_it(value): pass
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 2), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_signal_ends_a_run_in_good_order(pytester: pytest.Pytester, name: str, status: int, workers: str) -> None:
    if name == "SIGHUP" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        pytest.skip("ignored here, as under nohup, and so in every process that is started")
    pids, temporary = pytester.path / "pids", pytester.mkdir("temporary")
    (pytester.path / "test_it.py").write_text(textwrap.dedent(SIGNALLED).replace("{pids!r}", repr(str(pids))))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-n", workers],
        cwd=pytester.path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    if name == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.send_signal(getattr(signal, name))
        process.send_signal(getattr(signal, name))  # as `timeout` does: to the process, then to its group
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    for pid in map(int, pids.read_text().split()):
        _wait_until(lambda pid=pid: not _alive(pid))
    assert [path.name for path in temporary.iterdir() if path.name.startswith("pytest-modal")] == []
    if workers == "0" or name == "SIGINT":
        assert re.search(r"interrupted: \d+ of 40 calls are kept; pytest --modal-resume continues", output), output


def test_a_killed_pytest_leaves_no_worker_behind(pytester: pytest.Pytester) -> None:
    pid = pytester.path / "pid"
    pytester.makepyfile(ENDLESS.replace("{pid!r}", repr(str(pid))))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], cwd=pytester.path, stdout=subprocess.DEVNULL
    )
    _wait_until(lambda: pid.exists() and pid.read_text() != "")
    process.kill()
    process.wait()
    _wait_until(lambda: not _alive(int(pid.read_text())))


def _wait_until(condition: object, limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that nobody has waited for yet is dead all the same.
    status = os.path.join("/proc", str(pid), "stat")  # noqa: PTH118
    try:
        with open(status) as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not os.path.exists("/proc")  # noqa: PTH110
