"""What a call does to its process stays in the container: it is seen at once, and costs no container."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import section

from pytest_modal.remote.child import Child
from pytest_modal.remote.framing import CallRequest
from pytest_modal.remote.starting import Started
from pytest_modal.remote.supervisor import Supervisor

# On Modal

SUITE = """
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container")
    def model():
        import pathlib
        with open({loads!r}, "a") as file:
            file.write("x")
        return 2

    @pytest_modal.fixture(params=range(8))
    def good(model, request): return model * request.param

    @pytest_modal.fixture(timeout=2)
    def bad(model):
        import ctypes, os, signal, sys, time
        print("about to fall")
        ctypes.CDLL(None).puts(b"from C")
        ctypes.CDLL(None).fflush(None)
        {falls}

    @pytest.mark.parametrize("good", range(4), indirect=True)
    def test_before(good): assert good in range(0, 8, 2)

    def test_bad(bad): pass

    @pytest.mark.parametrize("good", range(4, 8), indirect=True)
    def test_after(good): assert good in range(8, 16, 2)
"""
FALLS = {
    "segfault": ("ctypes.string_at(0)", "crashed: the worker process was killed by SIGSEGV *", 2),
    "exit": ("os._exit(7)", "crashed: the worker process ended with exit status 7 (phase: call)", 2),
    "out of memory": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "crashed: the worker process was killed by SIGKILL (most often: out of memory) (phase: call)",
        2,
    ),
    "too long": ("time.sleep(60)", "timed out after 2 s (phase: call)", 1),
    "holds the interpreter": ("ctypes.PyDLL(None).sleep(60)", "timed out after 2 s (phase: call)", 1),
}


@pytest.mark.parametrize("name", FALLS)
def test_a_call_that_takes_its_process_along_costs_no_container(
    pytester: pytest.Pytester, modal_server: LoopbackModal, name: str
) -> None:
    falls, said, attempts = FALLS[name]
    loads = modal_server.shared / "loads"
    suite = textwrap.dedent(SUITE).replace("{loads!r}", repr(str(loads))).replace("{falls}", falls)
    # The fixtures of one environment: that of the call that falls has its time limit.
    pytester.makepyfile(suite.replace("params=range(8)", "params=range(8), timeout=2"))
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=8, errors=1)
    error = section(result, "ERROR at setup of test_bad")
    assert_lines(error, [f"bad {said}".replace("*", "(segmentation fault) (phase: call)"), "about to fall", "from C"])
    facts = modal_server.facts()
    assert [container["end_reason"] for container in facts["containers"]] in (["app stopped"], ["done"])
    assert all([attempt["ended"] for attempt in item["attempts"]] == ["output"] for item in facts["inputs"])
    # Once for the calls before, once for each try but the first, once for those after.
    assert len(loads.read_text()) == attempts + 1


def test_a_broken_container_fixture_is_not_built_for_each_of_its_users(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    loads = modal_server.shared / "loads"
    pytester.makepyfile(
        f"""
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model():
            import os
            with open({str(loads)!r}, "a") as file:
                file.write("x")
            os.abort()

        @pytest_modal.fixture(params=range(20))
        def user(model, request): return 1

        def test_it(user): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(errors=20)
    assert_lines(
        section(result, "ERROR at setup of test_it[0]"),
        [
            "container fixture model, which user[0] uses, crashed: the worker process was killed by SIGABRT (aborted) "
            "(phase: load model)"
        ],
    )
    assert loads.read_text() == "xx"
    assert len(modal_server.facts()["containers"]) == 1


CONTAINER = """
    import pytest, pytest_modal

    def end_container():
        import os, pathlib, signal
        # The parent of the worker's parent is Modal's own process.
        stat = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)

    @pytest_modal.fixture(params=range(12))
    def answer(request):
        import os, signal, time
        if request.param == 5:
            {dies}
        return request.param

    def test_it(answer): assert answer in range(12)
"""


@pytest.mark.parametrize("logs", [True, False], ids=["log", "no log"])
def test_a_call_that_takes_its_container_along_is_found_among_those_that_were_sent_with_it(
    pytester: pytest.Pytester, modal_server: LoopbackModal, logs: bool
) -> None:
    if not logs:
        modal_server.fail("rpc", times=None, rpc="AppGetLogs", status="PERMISSION_DENIED", message="no logs")
    pytester.makepyfile(CONTAINER.replace("{dies}", "time.sleep(0.2); end_container()"))
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=11, errors=1)
    (first, *_) = section(result, "ERROR at setup of test_it[5]")
    assert first.startswith("answer[5] crashed: the container ")
    crashed = [each for each in modal_server.facts()["containers"] if each["end_reason"] == "crashed"]
    assert len(crashed) <= (4 if logs else 8)


def test_what_a_container_that_was_killed_once_had_is_run_again(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    once = modal_server.shared / "once"
    dies = f"""
            import pathlib
            if not pathlib.Path({str(once)!r}).exists():
                pathlib.Path({str(once)!r}).touch()
                end_container()
                time.sleep(60)
    """.strip()
    pytester.makepyfile(CONTAINER.replace("{dies}", dies))
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=12)
    assert_lines(result.outlines, ["12 calls in 1 environment and 2 containers: 12 ok; *"])


def test_code_after_a_yield_runs_where_modal_ends_the_container(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    left, begun = modal_server.shared / "left", modal_server.shared / "begun"
    pytester.makepyfile(
        f"""
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model():
            yield 1
            open({str(left)!r}, "a").write("left")

        @pytest_modal.fixture
        def slow(model):
            import pathlib, time
            if not pathlib.Path({str(begun)!r}).exists():
                pathlib.Path({str(begun)!r}).touch()
                time.sleep(60)
            return model

        def test_it(slow): assert slow == 1
        """
    )
    process = subprocess.Popen([sys.executable, "-m", "pytest", "--modal"], cwd=pytester.path, stdout=subprocess.PIPE)
    wait_until(begun.exists)
    modal_server.preempt(modal_server.facts()["containers"][0]["id"])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert left.read_text() == "left" * 2
    (item,) = modal_server.facts()["inputs"]
    assert [attempt["ended"] for attempt in item["attempts"]] == ["preempted", "output"]


def test_a_container_whose_environment_is_done_ends_at_once(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(
        """
        import pytest

        def quick(x): return x

        def slow():
            import time
            time.sleep(6)

        @pytest.mark.parametrize("x", range(5))
        @pytest.mark.modal_gpu(function=quick, gpu="H100")
        def test_quick(modal_result): pass

        @pytest.mark.modal_gpu(function=slow)
        def test_slow(modal_result): pass
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=6)
    ended = {each["function_name"]: each["ended_at"] for each in modal_server.facts()["containers"]}
    assert ended["H100.*"] < ended["T4.*"] - 2


def test_a_result_is_kept_where_the_container_can_not_be_given_back(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.fail("rpc", times=None, rpc="ContainerStop", status="INTERNAL", message="x")
    pytester.makepyfile(CONTAINER.replace("{dies}", "pass"))
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=12)


def wait_until(condition: Any, limit: float = 40.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The supervisor alone


class Watched:
    """Notes the phases of a call."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, phase: str, key: str) -> None:
        self.phases.append(phase)

    def look(self) -> None:
        pass


# Stands in for the worker: it does what the label of a call says.
CHILD = """
import os, pathlib, signal, sys, time
from pytest_modal.remote.child import note_phase
from pytest_modal.remote.starting import PHASE
from pytest_modal.remote.framing import read_message, write_message
from pytest_modal.remote.keeper import keep
keep()
phases = os.open(pathlib.Path(sys.argv[2]).with_name(PHASE), os.O_WRONLY)
replies, requests = os.fdopen(os.dup(1), "wb"), os.fdopen(0, "rb")
write_message(replies, {"event": "ready", "key": ""})
done = 0
while (message := read_message(requests)) is not None:
    if "stop" in message[0]:
        write_message(replies, {"event": "released", "key": "", "teardowns": ["untidy"]})
        break
    does = message[0]["call"]["label"]
    print(does, file=sys.stderr, flush=True)
    note_phase(phases, "call", "")
    if does == "falls" or does == "falls later" and done:
        os._exit(3)
    if does == "garbage":
        os.write(1, b"x" * 64)
        os._exit(4)
    if does == "child keeps the pipe":
        if os.fork() == 0:
            time.sleep(20)
        os._exit(5)
    if does == "closes":
        os.closerange(1, 64)
        time.sleep(20)
    if does == "sleeps":
        time.sleep(20)
    done += 1
    write_message(replies, {"status": "raised" if does == "raises" else "ok", "container": sys.argv[1], "loads": [],
                            "poisoned": does == "poisons", "stdout": "", "stderr": ""}, [str(done).encode()])
"""


@pytest.fixture
def started(tmp_path: Path) -> list[Child]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, started: list[Child]) -> Iterator[Supervisor]:
    def start() -> Child:
        name = f"child-{len(started) + 1}"
        started.append(Child(Started(name, tmp_path / name, [sys.executable, "-c", CHILD])))
        return started[-1]

    supervisor = Supervisor(start)
    yield supervisor
    supervisor.close()


def run(supervisor: Supervisor, does: str, timeout: float = 30.0, retries: int = 0) -> tuple[Any, bytes]:
    def ask(known: Collection[str]) -> CallRequest:
        call: Any = {"key": does, "label": does, "function": "f", "modules": []}
        return {"call": call, "containers": [], "blobs": {}, "position": 0, "mounts": [], "own_image": False}

    return supervisor.run(ask, timeout, retries, Watched())


def test_calls_share_a_process_until_one_ends_it(supervisor: Supervisor, started: list[Child]) -> None:
    assert [run(supervisor, "works")[1] for _ in range(3)] == [b"1", b"2", b"3"]
    reply, _ = run(supervisor, "falls")
    assert (reply["status"], reply["phase"], reply["ended"]) == ("crashed", "call", {"exit_status": 3})
    assert (reply["attempts"], reply["fallen"], reply["stderr"]) == (2, ["child-1"], "falls\n")
    assert run(supervisor, "works")[1] == b"1"
    assert len(started) == 3
    assert [child.alive for child in started] == [False, False, True]


def test_a_call_that_falls_for_what_others_left_is_tried_alone(supervisor: Supervisor, started: list[Child]) -> None:
    run(supervisor, "works")
    reply, _ = run(supervisor, "falls later")
    assert (reply["status"], reply["attempts"], reply["container"]) == ("ok", 2, "child-2")
    run(supervisor, "works")
    assert len(started) == 2


@pytest.mark.parametrize("does", ["garbage", "child keeps the pipe", "closes"])
def test_whatever_a_call_does_to_the_pipe_is_a_crash(supervisor: Supervisor, does: str) -> None:
    began = time.monotonic()
    reply, _ = run(supervisor, does)
    assert (reply["status"], reply["attempts"]) == ("crashed", 2)
    assert time.monotonic() - began < 15


def test_a_time_limit_is_held(supervisor: Supervisor, started: list[Child]) -> None:
    run(supervisor, "works")
    began = time.monotonic()
    reply, _ = run(supervisor, "sleeps", timeout=0.5)
    assert (reply["status"], reply["phase"], reply["attempts"]) == ("timed out", "call", 1)
    assert (reply["seconds"], reply["ended"]) == (0.5, {"limit": 0.5})
    assert 0.5 <= time.monotonic() - began < 2
    assert not started[0].alive


def test_what_raises_is_retried_as_often_as_declared(supervisor: Supervisor, started: list[Child]) -> None:
    reply, _ = run(supervisor, "raises", retries=2)
    assert (reply["status"], reply["attempts"], len(started)) == ("raised", 3, 1)


def test_a_poisoned_process_ends_after_its_reply(supervisor: Supervisor, started: list[Child]) -> None:
    assert run(supervisor, "poisons")[0]["status"] == "ok"
    run(supervisor, "works")
    assert len(started) == 2


def test_the_end_is_asked_for_what_went_wrong(supervisor: Supervisor) -> None:
    run(supervisor, "works")
    supervisor.stop()
    assert supervisor.teardowns() == ["untidy"]


def test_what_a_killed_process_printed_can_be_read(supervisor: Supervisor) -> None:
    run(supervisor, "works")
    run(supervisor, "sleeps", timeout=0.5)
    assert re.findall("[a-z]+", b"".join(piece for _, piece in supervisor.news()).decode()) == ["works", "sleeps"]


def test_processes_have_no_signal_handlers_and_no_files_of_their_parent(tmp_path: Path) -> None:
    code = CHILD.replace(
        "str(done).encode()",
        "f'{signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL} {os.path.exists(\"/proc/self/fd/9\")}'.encode()",
    )
    files = [(tmp_path / str(number)).open("w") for number in range(20)]
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    supervisor = Supervisor(lambda: Child(Started("child", tmp_path / "child", [sys.executable, "-c", code])))
    try:
        assert run(supervisor, "works")[1] == b"True False"
    finally:
        signal.signal(signal.SIGUSR1, before)
        supervisor.close()
        for file in files:
            file.close()
