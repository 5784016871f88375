"""What goes wrong on Modal only becomes the outcome of the calls concerned, or of the session, by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import section


def test_a_gpu_that_does_not_come_is_an_error_of_the_calls_that_need_it(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.fail("gpu", times=None, gpu="B200")
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(gpu="B200")
        def never(): return 1

        @pytest_modal.fixture
        def good(): return 2

        @pytest_modal.fixture
        def bad(): raise ValueError

        def test_never(never): pass
        def test_good(good): assert good == 2
        def test_bad(bad): pass
        """
    )
    pytester.makeini("[pytest]\nmodal_acquire_timeout = 5\n")
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED  # not all that went wrong was the infrastructure's fault
    (first, *_) = section(result, "ERROR at setup of test_never")
    assert first.startswith("no container with B200 within ")
    assert "(phase: queue); Modal says: " in first


def test_a_preempted_call_is_run_again(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("preempt", function="H100.*", after=0.2)
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(gpu="H100")
        def preempted():
            import time
            time.sleep(0.5)
            return "done all the same"

        def test_preempted(preempted): assert preempted == "done all the same"
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
    (call,) = modal_server.facts()["inputs"]
    assert [attempt["ended"] for attempt in call["attempts"]] == ["preempted", "output"]


def test_an_image_that_can_not_be_built_shows_its_log(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("image_build", match="numpy", log=["downloading numpy", "error: no space left on device"])
    pytester.makepyfile(
        """
        import pytest

        def zeros():
            import numpy
            return numpy.zeros(3)

        @pytest.mark.modal_gpu(function=zeros)
        def test_it(modal_result): pass

        def test_local(): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 70
    assert_lines(
        result.outlines,
        [
            "modal: an image could not be built: error: no space left on device",
            "an image could not be built: error: no space left on device",
            "  what to do: run pytest again: the build was cut short, *",
            "  | downloading numpy",
            "image build: an image could not be built: error: no space left on device (1 call)",
        ],
    )


ONE = """
    import pytest

    def one(): return 1

    @pytest.mark.modal_gpu(function=one)
    def test_it(modal_result): assert modal_result == 1
"""


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MODAL_SERVER_URL": "http://127.0.0.1:9"}, "Modal does not answer at http://127.0.0.1:9 (waited * s)"),
        ({"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}, "there is no token for Modal on this machine"),
        ({"MODAL_TOKEN_SECRET": "as-wrong"}, "Modal does not accept the token: *"),
    ],
    ids=["nothing listens", "no token", "bad token"],
)
def test_before_the_session_there_is_an_answer_within_ten_seconds(
    pytester: pytest.Pytester,
    modal_server: LoopbackModal,
    monkeypatch: pytest.MonkeyPatch,
    env: dict[str, str],
    said: str,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=30)
    result.assert_outcomes(errors=1)
    assert result.ret == 70
    assert result.duration < 10
    result.stdout.fnmatch_lines([f"modal: {said}", "*ERROR at setup of test_it*", said, "  what to do: *"])
    assert "as-wrong" not in result.stdout.str()
    assert modal_server.facts()["apps"] == []


def test_the_first_answer_may_take_a_while(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("rpc", times=1, rpc="ClientHello", delay=7)
    pytester.makepyfile(ONE)
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("fault", "said", "remedy"),
    [
        (
            {"rpc": "AppCreate", "status": "RESOURCE_EXHAUSTED", "message": "too many apps"},
            "Modal refused the session (quota): too many apps",
            "raise the limits or the budget*",
        ),
        (
            {"rpc": "AppCreate", "status": "PERMISSION_DENIED", "message": "not you"},
            "Modal refused the session (permission): not you",
            "get access to it*",
        ),
        (
            {
                "rpc": "AppCreate",
                "status": "RESOURCE_EXHAUSTED",
                "message": "App creation failed: workspace billing cycle spend limit reached",
            },
            "the workspace has reached its spending limit: App creation failed: *",
            "raise the workspace budget at https://modal.com/settings/usage, *--modal-resume*",
        ),
        (
            {"rpc": "AppCreate", "status": "FAILED_PRECONDITION", "message": "please add a payment method first"},
            "the workspace has no payment method: please add a payment method first",
            "add a payment method to the workspace at https://modal.com/settings/usage",
        ),
        (
            {"rpc": "FunctionMap", "status": "RESOURCE_EXHAUSTED", "message": "GPU budget spent"},
            "Modal refused the session (quota): GPU budget spent",
            "raise the limits or the budget*",
        ),
    ],
    ids=["quota", "permission", "spending limit", "no payment method", "budget spent midway"],
)
def test_what_modal_refuses_is_named_with_the_fix(
    pytester: pytest.Pytester, modal_server: LoopbackModal, fault: dict[str, str], said: str, remedy: str
) -> None:
    modal_server.fail("rpc", times=None, **fault)
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(errors=1)
    assert result.ret == 70
    result.stdout.fnmatch_lines([said, f"  what to do: {remedy}"])
    assert all(app["state"] == "stopped" for app in modal_server.facts()["apps"])


def test_a_missing_secret_and_an_unknown_gpu_are_named(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        test_secret=ONE.replace("one)", 'one, secrets=["huggingface"])'),
        test_gpu=ONE.replace("one)", 'one, gpu="H1000!")'),
    )
    result = pytester.runpytest_subprocess("--modal", "test_secret.py", timeout=60)
    assert result.ret == 70
    result.stdout.fnmatch_lines(["Modal refused the session (not found): *huggingface*", "*modal secret create*"])
    result = pytester.runpytest_subprocess("--modal", "test_gpu.py", timeout=60)
    assert result.ret == 1  # no run could have it
    result.stdout.fnmatch_lines(["Modal refused the session (setting): H1000 is not a valid GPU type"])


SLOW = """
    import pytest, pytest_modal

    @pytest_modal.fixture(params=range(4))
    def answer(request):
        import time
        time.sleep(0.1 if request.param < 2 else 30)
        return request.param

    def test_it(answer): pass
"""


def running(server: LoopbackModal, finished: int) -> bool:
    """Whether so many calls have ended and another one runs."""

    def is_so(facts: dict[str, object]) -> bool:
        inputs = facts["inputs"]
        assert isinstance(inputs, list)
        statuses = [item["status"] for item in inputs]
        return sum(item["ended_at"] is not None for item in inputs) == finished and "running" in statuses

    return bool(server.wait_for(is_so, timeout=40))


def start(pytester: pytest.Pytester, *arguments: str) -> subprocess.Popen[str]:
    """Start pytest in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "--modal", "-p", "no:randomly", *arguments],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_an_app_stopped_from_outside_keeps_what_had_arrived(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(SLOW)
    process = start(pytester)
    assert running(modal_server, finished=2)
    modal_server.stop_app(modal_server.facts()["apps"][0]["id"])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 70, output
    assert "2 passed, 2 errors" in output
    assert "the session was stopped from outside, on the dashboard or with `modal app stop`" in output


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_a_workspace_that_has_spent_its_budget_keeps_what_had_arrived(
    pytester: pytest.Pytester, modal_server: LoopbackModal, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(SLOW)
    process = start(pytester, *workers)
    assert running(modal_server, finished=2)
    modal_server.reach_spending_limit()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 70, output
    assert "2 passed, 2 errors" in output
    assert "the workspace has reached its spending limit: workspace billing cycle spend limit reached" in output
    assert [each["end_reason"] for each in modal_server.facts()["containers"]] == ["billing limit"]


def test_a_lost_connection_keeps_what_had_arrived(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SLOW)
    pytester.makeini("[pytest]\nmodal_connection_timeout = 2\n")
    process = start(pytester)
    assert running(modal_server, finished=2)
    modal_server.drop_connections(seconds=20)
    output, _ = process.communicate(timeout=60)
    modal_server.drop_connections(seconds=0)
    assert process.returncode == 70, output
    assert "2 passed, 2 errors" in output
    assert "the connection to Modal was lost: no answer for" in output


def test_a_short_interruption_of_the_network_is_survived(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(SLOW.replace("30)", "1.5)"))
    process = start(pytester)
    assert running(modal_server, finished=2)
    modal_server.drop_connections(seconds=0.5)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert len(modal_server.facts()["inputs"]) == 4  # nothing was done twice


def test_a_server_that_falls_silent_is_given_up(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(SLOW)
    pytester.makeini("[pytest]\nmodal_connection_timeout = 2\n")
    process = start(pytester)
    assert running(modal_server, finished=2)
    modal_server.fail("hang", seconds=30, times=None)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 70, output
    assert "the connection to Modal was lost: no answer for" in output
    modal_server.reset()
