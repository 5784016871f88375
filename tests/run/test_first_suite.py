"""The suite that the documentation shows, and what its author sees."""

from __future__ import annotations

import json

import pytest

SUITE = """
    import pytest
    import pytest_modal


    @pytest.fixture(scope="session")
    def problems():
        return [{"id": number, "left": number, "right": 2 * number} for number in range(6)]


    @pytest_modal.fixture(scope="container", gpu="T4")
    def model():
        print("loading the model")
        return lambda left, right: left + right


    @pytest_modal.fixture
    def answers(model, problems):
        return [{"id": p["id"], "output": model(p["left"], p["right"]), "correct": 3 * p["id"]} for p in problems]


    @pytest_modal.fixture
    def pilot(model):
        return model(1, 2)


    @pytest.mark.modal_gpu
    def test_accuracy(answers, save_csv):
        table = save_csv("results.csv", answers)
        assert (table.output == table.correct).all()


    def test_same_answers(answers, pilot, modal_session):
        assert answers[1]["output"] == pilot
        assert modal_session.mode == "local"
        assert modal_session.app_id is None
        assert {call.name for call in modal_session.calls} == {"answers", "pilot"}
        assert all(call.gpu == "cpu" and call.seconds >= 0 and call.peak_memory > 0 for call in modal_session.calls)
"""


def test_it_passes_loads_the_model_once_and_says_where_it_ran(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "modal: local mock mode, on this machine: 2 calls for 2 tests, 1 environment",
            "modal: 2/2 calls done",
            "*= modal =*",
            "mode: local; device: cpu",
            "2 calls in 1 environment and 1 container: 2 ok; * of results",
            "loaded model: 1 time, * *s",
            "time: planning *, model loads *, calls *, other *",
            "1 artifact, listed in modal_output/artifacts.json:",
        ]
    )
    index = json.loads((pytester.path / "modal_output" / "artifacts.json").read_text())
    (artifact,) = index["artifacts"]
    assert (pytester.path / "modal_output" / artifact["path"]).read_text().startswith("id,output,correct\n0,0,0\n")


def test_unmarked_tests_that_reach_the_gpu_are_marked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "\n    def test_local(): pass\n")
    pytester.runpytest("-m", "modal_gpu").assert_outcomes(passed=2, deselected=1)
    result = pytester.runpytest("-m", "not modal_gpu")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.no_fnmatch_line("*modal:*")


def test_the_plan_is_shown_and_nothing_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "\n    def test_local(): assert False\n")
    result = pytester.runpytest("--modal-plan")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes()
    result.stdout.fnmatch_lines(
        [
            "*= modal plan =*",
            "modal: local mock mode*: 2 calls for 2 tests, 1 environment",
            "environment: T4; timeout 1800 s",
            "  packages: none (derived from the imports)",
            "  load model  (test_*.py:10, sends 0 B)",
            "  call answers  (test_*.py:16, sends * B, for 2 tests)",
            "  call pilot  (test_*.py:21, sends 0 B, for 1 test)",
            "Nothing was sent and no test was run.",
        ]
    )
    assert not (pytester.path / "modal_output").exists()


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--setup-plan"], ["-k", "absent"]])
def test_what_runs_no_test_sends_nothing(pytester: pytest.Pytester, arguments: list[str]) -> None:
    pytester.makepyfile(SUITE)
    pytester.runpytest(*arguments).stdout.no_fnmatch_line("*modal:*")


def test_skip_mode_skips_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "\n    def test_local(): pass\n")
    result = pytester.runpytest("--modal-mode=skip", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*GPU tests are skipped: --modal-mode=skip*"])


def test_the_mode_is_resolved_in_order(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\nmodal_mode = skip\n")
    pytester.runpytest().assert_outcomes(skipped=2)
    monkeypatch.setenv("PYTEST_MODAL_MODE", "local")
    pytester.runpytest().assert_outcomes(passed=2)
    pytester.runpytest("--modal-mode=skip").assert_outcomes(skipped=2)
    monkeypatch.setenv("PYTEST_MODAL_MODE", "gpu")
    result = pytester.runpytest()
    assert result.ret != 0
    assert "unknown mode 'gpu'" in result.stdout.str() + result.stderr.str()


def test_without_a_terminal_reporter_it_still_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    assert pytester.runpytest_subprocess("-p", "no:terminal").ret == 0
    pytester.makepyfile(test_fails="import pytest_modal\n@pytest_modal.fixture\ndef x(): 1 / 0\ndef test(x): pass")
    assert pytester.runpytest_subprocess("-p", "no:terminal", "test_fails.py").ret == pytest.ExitCode.TESTS_FAILED


def test_a_live_line_is_drawn_on_a_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    child = pytester.spawn_pytest("-p no:randomly", expect_timeout=60)
    child.expect("2 passed")
    assert b"calls" in (child.before or b"")
