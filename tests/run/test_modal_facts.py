"""What ``pytest-modal doctor`` has found out of Modal is what sessions go by: the ini ``modal_facts``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from doctor_visit import FILE, visit
from loopback_modal import LoopbackModal

from pytest_modal.declare.facts import Facts
from pytest_modal.run.modal.app import PACK_SECONDS, pack_seconds

MANY = """
    import pytest

    def work(x):
        return x

    @pytest.mark.parametrize("x", range(24))
    @pytest.mark.modal_gpu(function=work, max_containers=8)
    def test_it(modal_result, x): assert modal_result == x
"""
GREEDY = """
    import pytest_modal

    @pytest_modal.fixture(gpu=None, memory=(128, 640))
    def table():
        import time
        print("about to take 2 GiB")
        taken = []
        for _ in range(64):
            taken.append(b"x" * (32 << 20))
            time.sleep(0.03)
        return len(taken)

    def test_it(table): pass
"""
WAITING = """
    import pytest

    def work():
        return 1

    @pytest.mark.modal_gpu(function=work, gpu="T4")
    def test_it(modal_result): pass
"""


def run(pytester: pytest.Pytester, suite: str, facts: dict[str, Any] | None) -> pytest.RunResult:
    pytester.makepyfile(suite)
    given = [] if facts is None else ["-o", "modal_facts=facts.json"]
    pytester.path.joinpath("facts.json").write_text(json.dumps({"schema": 1, "facts": facts}))
    return pytester.runpytest_subprocess("--modal", "-p", "no:randomly", *given, timeout=120)


def test_a_connection_that_carries_few_requests_gets_few(
    pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    modal_server.change(streams=8)
    assert visit("streams").report["facts"]["streams"] == 8
    pytester.makepyfile(MANY)
    with modal_server.fresh():
        modal_server.change(streams=8)
        result = pytester.runpytest_subprocess("--modal", "-o", f"modal_facts={FILE}", timeout=120)
        result.assert_outcomes(passed=24)
        assert modal_server.facts()["most_rpcs_at_once"] <= 8


@pytest.mark.parametrize("known", [False, True])
def test_an_exit_status_is_known_to_be_out_of_memory(
    pytester: pytest.Pytester, modal_server: LoopbackModal, known: bool
) -> None:
    modal_server.change(memory_status=77, crash_limit=1)
    result = run(pytester, GREEDY, {"out_of_memory_exit_codes": [137, 77]} if known else None)
    result.assert_outcomes(errors=1)
    hint = r" \(often out of memory\)" if known else ""
    result.stdout.re_match_lines([rf"table crashed: the container ended with exit status 77{hint} \(phase: call\)"])


def test_a_late_log_is_waited_for_when_a_call_has_crashed(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.change(log_delay=6.0, crash_limit=1)
    result = run(pytester, GREEDY, {"log_delay_seconds": 7.0})
    result.assert_outcomes(errors=1)
    assert "about to take 2 GiB" in result.outlines


def test_a_gpu_that_does_not_come_is_told_from_containers_that_only_wait(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    modal_server.change(stats_count_queued=True)
    modal_server.fail("gpu", times=None, gpu="T4")
    pytester.makeini("[pytest]\nmodal_acquire_timeout = 4\n")
    result = run(pytester, WAITING, {"runners_count_queued": True})
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["no container with T4 within * s*"])


def test_packs_are_longer_where_answers_are_slower() -> None:
    assert pack_seconds(Facts()) == PACK_SECONDS
    assert pack_seconds(Facts(round_trip_seconds=0.5)) == 2 * PACK_SECONDS
