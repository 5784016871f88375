"""Processes that calls start: they end with the worker, wherever they have gone, and nobody waits for them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from literal_lines import assert_lines
from suite_run import section

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is ended")

# Each process writes its id, so that the test can look for it.
SUITE = """
import pytest, pytest_modal

def noted():
    import os, pathlib
    pathlib.Path({pids!r}, str(os.getpid())).touch()

def fork(*, daemon):
    import os, signal, time
    if os.fork() == 0:
        if daemon:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork():
                os._exit(0)
        noted()
        time.sleep(300)
        os._exit(0)

def work(kind):
    import multiprocessing, os, signal, subprocess, sys, time
    noted()
    if kind == "child": fork(daemon=False)
    if kind == "daemon": fork(daemon=True)
    if kind == "daemon and crash":
        fork(daemon=True)
        os._exit(7)
    if kind == "pool and kill":
        multiprocessing.Pool(2, noted).map(abs, [1, 2])
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "program and hang":
        subprocess.Popen(["sleep", "300"], start_new_session=True, env={{}})
        fork(daemon=True)
        time.sleep(300)
    if kind == "signals its group": os.killpg(os.getpgid(0), signal.SIGURG)
    return kind

@pytest.mark.parametrize("kind", {kinds!r})
@pytest.mark.modal_gpu(function=work, timeout=5)
def test_work(modal_result, kind): assert modal_result == kind
"""
KINDS = {
    "child": "",
    "daemon": "",
    "daemon and crash": "crashed: the worker process ended with exit status 7 (phase: call)",
    "pool and kill": "crashed: the worker process was killed by SIGKILL (most often: out of memory) (phase: call)",
    "program and hang": "timed out after 5 s (phase: call)",
    "signals its group": "",
    "good": "",
}


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_what_calls_have_started_ends_with_their_process(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, tmp_path: Path, mode: str
) -> None:
    pids = request.getfixturevalue("modal_server").shared / "pids" if mode == "modal" else tmp_path / "pids"
    pids.mkdir()
    pytester.makepyfile(SUITE.format(pids=str(pids), kinds=[*KINDS]))
    arguments = ["--modal"] if mode == "modal" else []
    began = time.monotonic()
    result = pytester.runpytest_subprocess(*arguments, "-p", "no:randomly", timeout=90)
    failed = {kind: words for kind, words in KINDS.items() if words}
    result.assert_outcomes(passed=len(KINDS) - len(failed), errors=len(failed))
    for kind, words in failed.items():
        assert_lines(section(result, f"ERROR at setup of test_work[{kind}]"), [f"work[{kind}] {words}"])
    assert time.monotonic() - began < 60  # of the 300 seconds that they sleep
    assert len([*pids.iterdir()]) >= 9
    assert [path.name for path in pids.iterdir() if _runs(int(path.name))] == []


def test_workers_of_a_data_loader_end_with_their_process(pytester: pytest.Pytester) -> None:
    pytest.importorskip("torch")
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        def work(kind):
            import os, signal, torch
            from torch.utils.data import DataLoader

            batches = iter(DataLoader(torch.arange(40.0), batch_size=10, num_workers=2, persistent_workers=True))
            first = next(batches)
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            work.keeps = batches
            return float(first.sum())

        @pytest.mark.parametrize("kind", ["keeps its workers", "killed", "comes later"])
        @pytest.mark.modal_gpu(function=work, timeout=60)
        def test_work(modal_result, kind): assert modal_result == 45.0
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=2, errors=1)


BUSY = """
    import pytest_modal

    @pytest_modal.fixture(timeout=3)
    def leaves_thread():
        import ctypes, sys, threading, time

        main = threading.main_thread().ident

        def later():
            while sys._current_frames()[main].f_code.co_name != "_serve":  # until it waits for its next request
                time.sleep(0.001)
            ctypes.PyDLL(None).sleep(600)  # as an extension that keeps the interpreter for itself

        threading.Thread(target=later, daemon=True).start()
        return "x" * 5_000_000

    @pytest_modal.fixture(timeout=3)
    def after(leaves_thread):
        return len(leaves_thread)

    def test_after(after): assert after == 5_000_000
"""


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_a_process_that_takes_no_request_is_replaced_after_the_time_limit(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, mode: str
) -> None:
    if mode == "modal":
        request.getfixturevalue("modal_server")
    pytester.makepyfile(BUSY)
    result = pytester.runpytest_subprocess(*(["--modal"] if mode == "modal" else []), "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1)
    if mode == "local":
        assert_lines(result.outlines, ["2 calls in 1 environment and 2 containers: 2 ok; *"])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
