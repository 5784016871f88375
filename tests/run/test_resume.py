"""GPU time is paid for once: what a run has finished is there for the next one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal

from pytest_modal.batch.calls import Batch, Call, ShippedFunction
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.remote import data
from pytest_modal.store.cache import OutcomeCache
from pytest_modal.store.results import Results

TWENTY = """
    import pytest_modal

    # Every body leaves a mark outside of all that is kept.
    @pytest_modal.fixture(params=range(20))
    def value(request):
        import pathlib, time
        with open({log!r}, "a") as log:
            log.write(f"{{request.param}}\\n")
        time.sleep(0.05)
        return request.param ** 2

    def test_it(value, request):
        assert value == request.node.callspec.params["value"] ** 2
"""


def executed(log: Path) -> list[int]:
    """Return which calls were begun, in order."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_run_goes_on_where_it_was(pytester: pytest.Pytester, seed: int) -> None:
    log = pytester.path / "executed"
    pytester.makepyfile(TWENTY.format(log=str(log)))
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-q"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL)
    wanted = random.Random(seed).randrange(1, 20)
    deadline = time.monotonic() + 60
    while len(executed(log)) < wanted and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    begun = executed(log)
    kept = len(list(pytester.path.glob(".pytest_cache/d/pytest_modal/outcomes/local/[!.]*")))
    assert len(begun) - 1 <= kept <= len(begun)
    log.unlink()
    result = pytester.runpytest_subprocess("--modal-resume", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=20)
    again = executed(log)
    assert len(again) == 20 - kept
    assert len(set(again) & set(begun)) <= 1  # the one that was under way
    result.stdout.fnmatch_lines([f"resumed: {kept} of 20 calls reused from earlier runs, {20 - kept} to run"])
    assert not list(pytester.path.glob(".pytest_cache/pytest_modal/runs/*"))  # also what the killed one had left


def test_ctrl_c_on_modal_keeps_what_had_arrived(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    hurry = modal_server.shared / "hurry"
    pytester.makepyfile(
        f"""
        import pytest_modal

        @pytest_modal.fixture(params=range(4))
        def value(request):
            import os, time
            time.sleep(0.1 if request.param < 2 or os.path.exists({str(hurry)!r}) else 60)
            return request.param

        def test_it(value): pass
        """
    )
    command = [sys.executable, "-m", "pytest", "--modal", "-p", "no:randomly"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    modal_server.wait_for(lambda facts: sum(item["ended_at"] is not None for item in facts["inputs"]) == 2, 60)
    modal_server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert modal_server.facts()["apps"][0]["state"] == "stopped"
    modal_server.reset()
    hurry.touch()
    result = pytester.runpytest_subprocess("--modal", "--modal-resume", timeout=60)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["resumed: 2 of 4 calls reused from earlier runs, 2 to run"])
    assert len(modal_server.facts()["inputs"]) == 2


def test_only_the_missing_calls_are_sent(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model(): return 10

        @pytest_modal.fixture(params=range(3))
        def value(request, model):
            import os
            if request.param == 1 and "MODAL_TASK_ID" in os.environ and not os.path.exists("/tmp/no such file"):
                raise RuntimeError("not today")
            return model + request.param

        @pytest_modal.fixture
        def after(value): return -value

        def test_it(value, after): assert after == -value
        """
    )
    first = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    first.assert_outcomes(passed=2, errors=1)
    inputs = len(modal_server.facts()["inputs"])
    again = pytester.runpytest_subprocess("--modal", "--modal-resume", "-p", "no:randomly", timeout=60)
    again.assert_outcomes(passed=2, errors=1)
    again.stdout.fnmatch_lines(
        [
            "modal: on Modal: 6 calls for 3 tests*",
            "modal: 4 of 6 calls reused from earlier runs, 2 to run",
            "resumed: 4 of 6 calls reused from earlier runs, 2 to run",
        ]
    )
    assert len(modal_server.facts()["inputs"]) == inputs + 1  # the one that fails; what needs it is not sent


def test_what_depends_on_a_reused_call_gets_its_result(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def first(): return 20

        @pytest_modal.fixture
        def second(first): return first + 1

        def test_first(first): assert first == 20
        def test_second(second): assert second == 21
        """
    )
    pytester.runpytest_subprocess("--modal", "-k", "first", timeout=60).assert_outcomes(passed=1, deselected=1)
    result = pytester.runpytest_subprocess("--modal", "--modal-resume", timeout=60)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["resumed: 1 of 2 calls reused from earlier runs, 1 to run"])
    assert len(modal_server.facts()["inputs"]) == 2


def test_what_a_cpu_has_computed_is_no_result_of_a_gpu(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest

        def one(): return 1

        @pytest.mark.modal_gpu(function=one)
        def test_it(modal_result): assert modal_result == 1
        """
    )
    pytester.runpytest_subprocess("--modal-mode=local").assert_outcomes(passed=1)
    pytester.runpytest_subprocess("--modal", "--modal-resume", timeout=60).assert_outcomes(passed=1)
    assert len(modal_server.facts()["inputs"]) == 1


EDITED = """
    import pytest
    import pytest_modal

    LIMIT = 3

    def helper(x):
        return x + LIMIT

    @pytest_modal.fixture
    def value(argument):
        '''Say something.'''
        return helper(argument)  # a comment

    @pytest.fixture(scope="session")
    def argument(): return 1

    def test_it(value): assert value >= 0
"""


@pytest.mark.parametrize(
    ("old", "new", "reused"),
    [
        ("# a comment", "# another comment", 1),
        ("Say something.", "Say something else.", 1),
        ("value >= 0", "value > -1", 1),
        ("def helper(x):", "\n\n\ndef helper(\n    x,\n):", 1),
        ("return helper(argument)", "return  0 + helper(argument)", 0),
        ("x + LIMIT", "LIMIT + x", 0),
        ("LIMIT = 3", "LIMIT = 4", 0),
        ("def argument(): return 1", "def argument(): return 2", 0),
        ("@pytest_modal.fixture\n", '@pytest_modal.fixture(packages=["numpy"])\n', 0),
        ("@pytest_modal.fixture\n", '@pytest_modal.fixture(env={"X": "1"})\n', 0),
    ],
)
def test_edits_that_count_and_edits_that_do_not(pytester: pytest.Pytester, old: str, new: str, reused: int) -> None:
    pytester.makepyfile(test_it=EDITED)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    path = pytester.path / "test_it.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    result = pytester.runpytest_subprocess("--modal-resume")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"modal: {reused} of 1 call reused from earlier runs, {1 - reused} to run"])


def test_without_a_cache_there_is_nothing_to_resume_and_it_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=EDITED)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--modal-resume")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["--modal-resume found nothing: pytest's cache is disabled or not writable"])
    assert not (pytester.path / ".pytest_cache").exists()


def results_of(directory: Path, count: int, size: int) -> Results:
    """Return the results of a run, `size` bytes each."""
    calls = [
        Call(f"{n:02}", f"call {n}", ShippedFunction("f", "f", "t:1", b""), {}, Environment()) for n in range(count)
    ]
    results = Results("local", Batch(calls), directory)
    for call in calls:
        results.put(Outcome(call.key, "ok"), data.encode(bytes(size)))
    return results


def test_what_is_kept_is_bounded_in_size_and_age(tmp_path: Path) -> None:
    results = results_of(tmp_path / "run", 10, 10_000)
    kept = OutcomeCache(tmp_path / "kept", max_bytes=55_000, max_seconds=1000.0)
    for number, outcome in enumerate(results.outcomes.values()):
        kept.keep(results, outcome)
        os.utime(tmp_path / "kept" / outcome.key, (time.time() - 100 + number, time.time() - 100 + number))
    kept.prune()
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["05", "06", "07", "08", "09"]
    os.utime(tmp_path / "kept" / "07", (0, 0))
    kept.prune(spare={"05"})
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["05", "06", "08", "09"]


def test_damaged_files_are_computed_again(tmp_path: Path) -> None:
    results = results_of(tmp_path / "run", 4, 100)
    kept = OutcomeCache(tmp_path / "kept")
    for outcome in results.outcomes.values():
        kept.keep(results, outcome)
    (tmp_path / "kept" / "00").write_bytes(b"")
    (tmp_path / "kept" / "01").write_bytes(b"\xff" * 1000)
    whole = (tmp_path / "kept" / "02").read_bytes()
    (tmp_path / "kept" / "02").unlink()
    (tmp_path / "kept" / "02").write_bytes(whole[:-50])
    assert [outcome.key for outcome, _ in kept.find(["00", "01", "02", "03", "never"])] == ["03"]


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        *(("flipped", place) for place in (0, 0.05, 0.3, 0.7, 0.999999)),
        ("truncated", 0.7),
        ("extended", 1),
        ("emptied", 0),
    ],
)
def test_what_is_damaged_on_disk_is_computed_again(pytester: pytest.Pytester, place: float, damage: str) -> None:
    pytester.makepyfile(
        """
        import numpy as np
        import pytest_modal

        @pytest_modal.fixture
        def floats(): return [i / 7 for i in range(100)]

        @pytest_modal.fixture
        def array(): return np.arange(1000.0)

        @pytest_modal.fixture
        def text(): return "abc" * 100

        @pytest_modal.fixture
        def raw(): return b"abc" * 100

        def test_floats(floats): assert floats == [i / 7 for i in range(100)]
        def test_array(array): assert (array == range(1000)).all()
        def test_text(text): assert text == "abc" * 100
        def test_raw(raw): assert raw == b"abc" * 100
        """
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=4)
    files = sorted(pytester.path.glob(".pytest_cache/d/pytest_modal/outcomes/local/[!.]*"), key=lambda path: path.name)
    for path in files[:3]:
        whole = bytearray(path.read_bytes())
        at = int(len(whole) * place)
        if damage == "flipped":
            whole[at] ^= 4
        path.write_bytes({"truncated": whole[:at], "extended": whole + b"x", "emptied": b""}.get(damage, whole))
    again = pytester.runpytest("-p", "no:randomly", "--modal-resume")
    again.assert_outcomes(passed=4)
    again.stdout.fnmatch_lines(["3 kept results were damaged on disk: computed again", "resumed: 1 of 4 calls reused*"])
    result = pytester.runpytest("-p", "no:randomly", "--modal-resume")
    result.stdout.fnmatch_lines(["resumed: 4 of 4 calls reused*"])
    result.stdout.no_fnmatch_line("*were damaged*")


# Other commands that people run in the same directory, while the first still waits for its results.
BESIDE = {
    "cache-clear": ["-m", "pytest", "-p", "no:randomly", "--cache-clear", "test_plain.py"],
    "cache-clear, with calls": ["-m", "pytest", "-p", "no:randomly", "--cache-clear", "test_quick.py"],
    "another run": ["-m", "pytest", "-p", "no:randomly", "test_quick.py"],
}


@pytest.mark.parametrize("namespace", [False, True], ids=["", "another pid namespace"])
@pytest.mark.parametrize("command", BESIDE)
def test_another_pytest_beside_deletes_nothing_of_a_run(
    pytester: pytest.Pytester, command: str, namespace: bool
) -> None:
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"] if namespace else []
    if apart and subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no namespaces")
    go_on = pytester.path / "go on"
    pytester.makepyfile(
        test_waiting=f"""
        import pytest, pytest_modal

        @pytest_modal.fixture(params=range(3))
        def value(request): return [request.param] * 10

        @pytest.fixture(scope="module")
        def other_run():
            import pathlib, time
            pathlib.Path({str(pytester.path / "begun")!r}).touch()
            while not pathlib.Path({str(go_on)!r}).exists():
                time.sleep(0.01)

        def test_value(other_run, value): assert len(value) == 10
        """,
        test_plain="def test_plain(): pass",
        test_quick="""
        import pytest_modal

        @pytest_modal.fixture
        def quick(): return 1

        def test_quick(quick): pass
        """,
    )
    waiting = [sys.executable, "-m", "pytest", "-p", "no:randomly", "test_waiting.py"]
    first = subprocess.Popen([*waiting], cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (pytester.path / "begun").exists() and first.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other = subprocess.run(
        [*apart, sys.executable, *BESIDE[command]], cwd=pytester.path, capture_output=True, text=True
    )
    go_on.touch()
    output, _ = first.communicate(timeout=60)
    assert other.returncode == 0, other.stdout
    assert first.returncode == 0, output
    assert not list(pytester.path.glob(".pytest_cache/pytest_modal/runs/*"))


def test_a_result_that_somebody_deletes_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib, shutil
        import pytest_modal

        @pytest_modal.fixture
        def value(): return 1

        def test_first(value): shutil.rmtree(pathlib.Path(__file__).parent / ".pytest_cache")
        def test_second(value): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the result of value was deleted while the tests ran: *", "  where: *::test_second"])
