"""pytest-xdist: one batch for all workers, whatever -n and --dist are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal

pytest.importorskip("xdist")

CONFTEST = """
    import pytest
    import pytest_modal

    @pytest_modal.fixture(scope="container")
    def model(): return lambda x: x + 1

    @pytest_modal.fixture(params=range(4))
    def value(model, request): return model(request.param)

    @pytest_modal.fixture
    def total(model, problems): return sum(map(model, problems))

    @pytest.fixture(scope="session")
    def problems(): return [1, 2, 3]
"""
TESTS = """
    def test_value(value, request): assert value == request.node.callspec.params["value"] + 1
    def test_total(total): assert total == 9
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Two files of five tests, which need five calls."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=TESTS, test_b=TESTS)
    return pytester


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "4"),
        ("-n", "2", "--reruns", "2"),
        ("-n", "2", "--dist", "loadfile"),
        ("-n", "2", "--dist", "worksteal"),
        ("-n", "2", "--dist", "each"),
    ],
    ids=" ".join,
)
def test_one_session_for_all_workers(
    suite: pytest.Pytester, modal_server: LoopbackModal, arguments: tuple[str, ...]
) -> None:
    result = suite.runpytest_subprocess("--modal", *arguments, timeout=90)
    assert result.ret == 0
    passed = result.parseoutcomes()["passed"]
    assert passed == (20 if "each" in arguments else 10)
    result.stdout.fnmatch_lines(["modal: on Modal: 5 calls for 10 tests, 1 environment, 1 container fixture"])
    assert result.stdout.str().count("modal: container up: T4 on Tesla T4") == 1
    result.stdout.fnmatch_lines(
        ["mode: modal; device: cpu", "session: ap-*", "5 calls in 1 environment and 1 container: 5 ok; *"]
    )
    facts = modal_server.facts()
    assert len(facts["apps"]) == 1
    assert len(facts["inputs"]) <= 5  # calls travel in packs


def test_a_worker_that_is_killed_is_replaced_without_another_session(
    suite: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    suite.makepyfile(
        test_c="""
        def test_killed(total):
            import os, pathlib, signal
            mark = pathlib.Path("killed")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = suite.runpytest_subprocess("--modal", "-n", "2", timeout=90)
    assert result.parseoutcomes() == {"passed": 10, "failed": 1}
    result.stdout.fnmatch_lines(["*worker 'gw?' crashed while running 'test_c.py::test_killed'*"])
    assert len(modal_server.facts()["apps"]) == 1


def test_a_worker_that_dies_within_the_batch_leaves_what_it_had(suite: pytest.Pytester) -> None:
    log = suite.path / "log"
    suite.makepyfile(
        test_c=f"""
        import pytest_modal

        @pytest_modal.fixture
        def last():
            import os, pathlib, signal, time
            with open({str(log)!r}, "a") as log:
                log.write("x")
            if os.path.getsize({str(log)!r}) == 1:
                # The worker of pytest-xdist is the parent of the process that runs the calls.
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            return 1

        def test_last(last): pass
        """
    )
    result = suite.runpytest_subprocess("-n", "2", "-p", "no:randomly", timeout=90)
    assert result.parseoutcomes().get("passed", 0) >= 10, result.stdout.str()
    assert log.read_text() == "xx"


def test_infrastructure_ends_with_the_exit_status_of_a_run_without_workers(
    suite: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong")
    result = suite.runpytest_subprocess("--modal", "-n", "2", timeout=90)
    assert result.ret == 70
    assert result.parseoutcomes() == {"errors": 10}
    assert result.stdout.str().count("auth: Modal does not accept the token") == 1


def test_values_that_differ_between_workers_are_named(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_c="""
        import os, uuid, pytest, pytest_modal

        @pytest.fixture(scope="session")
        def seed(): return uuid.uuid4().hex

        @pytest_modal.fixture
        def drawn(seed): return seed

        def test_one(drawn): pass
        def test_two(drawn): pass
        def test_three(drawn): pass
        def test_four(drawn): pass
        """
    )
    result = suite.runpytest_subprocess("-n", "2", "--dist", "each", "-p", "no:randomly", timeout=90)
    assert result.parseoutcomes() == {"passed": 24, "errors": 4}
    result.stdout.fnmatch_lines(
        [
            "'seed' of drawn differs between workers of pytest-xdist",
            "  where: test_c.py::test_*",
            "  what to do: make the local fixture deterministic (a fixed seed, no uuid, no clock): "
            "every worker computes it",
        ]
    )


def test_workers_on_other_machines_are_a_clear_error(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        CONFTEST
        + """
    import pytest

    class Remote:
        # What a worker behind ssh looks like to the plugin.
        @pytest.hookimpl(tryfirst=True, wrapper=True)
        def pytest_configure_node(self, node):
            yield
            node.workerinput["pytest_modal"] = {"directory": "", "spec": "ssh=gpu//python=python3"}

    def pytest_sessionstart(session):
        if session.config.pluginmanager.has_plugin("dsession"):
            session.config.pluginmanager.register(Remote())
    """
    )
    result = suite.runpytest_subprocess("-n", "2", timeout=90)
    assert result.parseoutcomes() == {"errors": 10}
    result.stdout.fnmatch_lines(
        [
            "the workers of pytest-xdist run on other machines, so they can't share one batch of GPU calls",
            "  where: --tx ssh=gpu//python=python3",
        ]
    )


def test_recording_and_replaying_with_workers(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-n", "2", "--modal-record", timeout=90)
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(["recorded 5 of 5 calls in recordings"])
    result = suite.runpytest_subprocess("-n", "2", "--modal-mode=replay", timeout=90)
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(
        ["*modal: replay of recorded data, nothing is run: 5 calls*", "mode: replay; *recorded *"]
    )


def test_resuming_with_workers(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess("-n", "2", timeout=90).assert_outcomes(passed=10)
    result = suite.runpytest_subprocess("-n", "3", "--modal-resume", timeout=90)
    result.assert_outcomes(passed=10)
    result.stdout.fnmatch_lines(["resumed: 5 of 5 calls reused from earlier runs, 0 to run"])


def test_plain_suites_leave_nothing(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider", "--basetemp", "base").assert_outcomes(passed=1)
    assert [path.name for path in tmp_path.iterdir() if "modal" in path.name] == []


def test_gpu_suites_clean_up(suite: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    suite.runpytest_subprocess("-n", "2", timeout=90).assert_outcomes(passed=10)
    assert [path.name for path in tmp_path.iterdir() if "modal" in path.name] == []


def test_ctrl_c_with_workers_stops_the_session(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    suite.makepyfile(
        test_c="""
        import pytest_modal

        @pytest_modal.fixture
        def endless():
            import time
            time.sleep(60)

        def test_it(endless): pass
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--modal", "-n", "2"],
        cwd=suite.path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    modal_server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]), 60)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    modal_server.wait_for(lambda facts: all(app["state"] == "stopped" for app in facts["apps"]), 30)
