"""Calls travel to Modal in packs, few at a time: what that saves, and that nothing is lost by it."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections import Counter
from typing import Any

import pytest
from loopback_modal import LoopbackModal
from suite_run import section

MOST_RPCS = 32


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("--modal", "-p", "no:randomly", *arguments, timeout=120)


def test_many_small_calls_are_few_inputs(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(params=range(400))
        def doubled(request): return 2 * request.param

        @pytest_modal.fixture(params=range(400))
        def squared(request): return request.param ** 2

        def test_doubled(doubled): assert doubled % 2 == 0
        def test_squared(squared): assert squared >= 0
        """
    )
    run(pytester).assert_outcomes(passed=800)
    facts = modal_server.facts()
    assert len(facts["inputs"]) < 20
    assert len(facts["containers"]) == 1
    assert facts["most_rpcs_of_running_apps"] < 10


def test_more_environments_than_results_can_be_waited_for_share_the_connection(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    environments = 12
    modal_server.fail("gpu", times=None, gpu="T4", seconds=4)
    source = "import pytest\n"
    for number in range(environments):
        source += f"""
def f{number}(x): return x

@pytest.mark.modal_gpu(function=f{number}, timeout={600 + number}, max_containers=2)
@pytest.mark.parametrize("x", range(6))
def test_{number}(modal_result, x): assert modal_result == x
"""
    pytester.makepyfile(source)
    run(pytester).assert_outcomes(passed=6 * environments)
    facts = modal_server.facts()
    # Two packs for each container would be 48 results to wait for.
    assert 16 < facts["most_rpcs_of_running_apps"] <= MOST_RPCS
    assert facts["apps"][0]["stop_reason"] == "entrypoint_completed"


COUNTED = """
    import pytest_modal

    def count(name, key):
        with open(f"{folder}/{name}", "a") as file:
            file.write(f"{key} ")

    @pytest_modal.fixture(scope="container", params=["small", "large"])
    def model(request):
        count("loads", request.param)
        yield request.param
        count("releases", request.param)

    @pytest_modal.fixture(params=range(60))
    def answer(model, request):
        import time
        count("calls", f"{model}-{request.param}")
        # The first ones promise that all are quick.
        time.sleep(1.2 if request.param in (20, 40) else 0.001)
        return request.param

    def test_it(answer): assert answer in range(60)
"""


def test_a_wrong_estimate_costs_nothing(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(COUNTED.replace("{folder}", str(modal_server.shared)))
    result = run(pytester)
    result.assert_outcomes(passed=120)
    calls = (modal_server.shared / "calls").read_text().split()
    assert Counter(calls) == {f"{model}-{number}": 1 for model in ("small", "large") for number in range(60)}
    # Each model is built once, and released before the next one.
    assert (modal_server.shared / "loads").read_text() == "small large "
    assert (modal_server.shared / "releases").read_text() == "small large "
    assert calls.index("large-0") == 60
    assert len(modal_server.facts()["containers"]) == 1


def test_what_has_not_begun_comes_back_when_results_are_large(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        @pytest_modal.fixture(params=range(24))
        def data(request): return bytes([request.param]) * (1 << 20)

        def test_it(data): assert len(data) == 1 << 20
        """
    )
    run(pytester).assert_outcomes(passed=24)
    facts = modal_server.facts()
    sizes = {blob["id"]: blob["size"] for blob in facts["blobs"]}
    outputs = [sizes.get(item["output_blob"], item["output_size"]) for item in facts["inputs"]]
    assert max(outputs) < 7 << 20
    assert sum(outputs) > 24 << 20


def test_a_dependency_in_another_environment_is_waited_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(gpu="T4", params=range(30))
        def first(request): return request.param

        @pytest_modal.fixture(gpu="H100")
        def second(first):
            if first == 7: raise ValueError("seven")
            return first + 1

        @pytest_modal.fixture(gpu="T4")
        def third(second): return second + 1

        def test_it(third, first): assert third == first + 2
        """
    )
    run(pytester).assert_outcomes(passed=29, errors=1)
    assert len(modal_server.facts()["containers"]) == 2


ONE = """
    import pytest_modal

    @pytest_modal.fixture(params=range(3))
    def answer(request): return request.param

    def test_it(answer): pass
"""


STRANGER = """
    import dataclasses
    import pytest_modal.run.modal.pack_runner as runner

    read = runner.read_reply
    others = {others}

    def read_for_others(reply, pack):
        head, replies = read(reply, pack)
        if others and (other := others.pop()):
            read(reply, dataclasses.replace(pack, **other))
        return head, replies

    runner.read_reply = read_for_others
"""


@pytest.mark.parametrize("other", [{"id": "another"}, {"calls": []}], ids=["another pack", "another call"])
def test_the_reply_to_other_calls_is_an_error(
    pytester: pytest.Pytester, modal_server: LoopbackModal, other: dict[str, Any]
) -> None:
    pytester.makeconftest(STRANGER.replace("{others}", f"[{other!r}]"))
    pytester.makepyfile(ONE)
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    assert "a container sent the reply to other calls" in section(result, "ERROR at setup of test_it[0]")[0]


BOMB = b"\1" + zlib.compress(bytes(100 << 20))  # a hundred megabytes


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(b"", "it is truncated, or too large", id="empty"),
        pytest.param(b"x" * 100, "it is truncated, or too large", id="unknown form"),
        pytest.param(b"\0", "reply: expected dict", id="no head"),
        pytest.param(b"\0" + b"x" * 100, "it is truncated", id="cut"),
        pytest.param(b"\1" + b"x" * 100, "it can't be decompressed: ", id="not compressed"),
        pytest.param(BOMB[:1000], "it is truncated, or too large", id="compressed and cut"),
        pytest.param(BOMB, "it is truncated, or too large", id="a hundred megabytes in one"),
    ],
)
def test_an_output_that_is_not_a_reply_fails_its_calls(
    pytester: pytest.Pytester, modal_server: LoopbackModal, sent: bytes, why: str
) -> None:
    pytester.makeconftest(
        f"""
        import pytest_modal.run.modal.pack_runner as runner

        read = runner.read_reply
        sent = [{sent!r}]
        runner.read_reply = lambda reply, pack: read(sent.pop() if sent else reply, pack)
        """
    )
    pytester.makepyfile(ONE)
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    (first, *_) = section(result, "ERROR at setup of test_it[0]")
    assert f"can't be used: a container sent something that is not a reply: {why}" in first


def test_an_output_that_gets_lost_is_given_up(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("output", how="lost")
    pytester.makeini("[pytest]\nmodal_acquire_timeout = 2\nmodal_startup_timeout = 1\n")
    pytester.makeconftest(
        """
        import pytest_modal.run.modal.pack_runner as runner

        runner.SLACK, runner.pack_timeout = 0, lambda environment, seconds: 1
        """
    )
    pytester.makepyfile(ONE)
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    (first, *_) = section(result, "ERROR at setup of test_it[0]")
    assert first.startswith("Modal has not answered for ")
    assert result.ret == 70


def test_an_app_that_was_stopped_ends_the_session_whatever_modal_says_of_its_calls(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    begun = modal_server.shared / "begun"
    modal_server.change(stop_silent=True)
    pytester.makeconftest("import pytest_modal.run.modal.session as session\nsession.APP_INTERVAL = 2.0")
    pytester.makepyfile(
        f"""
        import pytest_modal

        @pytest_modal.fixture(params=range(3))
        def answer(request):
            import pathlib, time
            if request.param:
                pathlib.Path({str(begun)!r}).touch()
                time.sleep(60)
            return request.param

        def test_it(answer): pass
        """
    )
    command = [sys.executable, "-m", "pytest", "--modal", "-p", "no:randomly"]
    process = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    modal_server.wait_for(lambda facts: begun.exists(), timeout=40)
    modal_server.stop_app(modal_server.facts()["apps"][0]["id"])
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 70, output
    assert "1 passed, 2 errors" in output
    assert "the session was stopped from outside" in output


def test_each_round_trip_is_shared_by_many_calls(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.change(latency=0.05)
    pytester.makepyfile(ONE.replace("range(3)", "range(300)"))
    run(pytester).assert_outcomes(passed=300)
    facts = modal_server.facts()
    (container,) = facts["containers"]
    # One by one, with two on their way, 300 calls would wait 15 s for what the client sends and asks for.
    assert container["ended_at"] - container["ready_at"] < 8
    assert facts["rpcs"]["FunctionMap"] < 10
