"""Rounds: each in its own session, those of suspicious gates after the other tests; in fresh containers."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from gated_suite import SUITE, ask, baseline, edit, gates, history, record, rounds_of, run
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

COUNTED = """
    import json
    import pathlib

    import pytest
    import pytest_modal

    HERE = {here!r}


    @pytest.fixture(scope="session")
    def questions():
        return list(range(200))


    @pytest_modal.fixture(scope="container")
    def model():  # modal: allow PM102
        import os, pathlib
        with pathlib.Path(HERE, "loads").open("a") as file:
            print(os.getpid(), file=file)
        return os.getpid()


    @pytest_modal.fixture(scope="session", params=["a", "b", "c", "d"])
    def part(request, model):  # modal: allow PM102
        import pathlib
        with pathlib.Path(HERE, "calls").open("a") as file:
            print(model, request.param, file=file)
        return model


    @pytest_modal.fixture(scope="session")
    def answers(model, questions):  # modal: allow PM102
        import pathlib
        loads = len(pathlib.Path(HERE, "loads").read_text().splitlines())
        missed = json.loads(pathlib.Path(HERE, "missed.json").read_text())
        wrong = missed.get(str(loads), missed["other"])
        return [{{"id": n, "output": model, "correct": n >= wrong}} for n in questions]


    @pytest_modal.fixture
    def counted(answers):
        return len(answers)


    @pytest.fixture(scope="module")
    def graded(answers):
        return answers


    def test_accuracy(graded, answers, counted, accuracy_gate, save_json, output_dir):
        assert graded[0]["output"] == answers[0]["output"], "a value of another round"
        with pathlib.Path(HERE, "bodies").open("a") as file:
            print(answers[0]["output"], file=file)
        save_json("model.json", answers[0]["output"])
        (output_dir / f"{{answers[0]['output']}}.txt").touch()
        accuracy_gate("toy", answers)


    def test_other(answers, part):
        pass
"""


def notes(pytester: pytest.Pytester) -> Path:
    """Return the directory of what the suite notes and reads: not in the project, whose files functions can't read."""
    directory = pytester.path.with_name(f"{pytester.path.name}-notes")
    directory.mkdir(exist_ok=True)
    return directory


def lines(pytester: pytest.Pytester, name: str, where: Path | None = None) -> list[str]:
    """Return what has been noted, and forget it."""
    path = (where or notes(pytester)) / name
    noted = path.read_text().splitlines()
    path.unlink()
    return noted


def miss(pytester: pytest.Pytester, other: int = 0, where: Path | None = None, **of_load: int) -> None:
    """Have so many questions answered wrong after the first load of the model (`_1`), the second (`_2`), ..."""
    missed = {name.strip("_"): wrong for name, wrong in of_load.items()} | {"other": other}
    directory = where or notes(pytester)
    (directory / "missed.json").write_text(json.dumps(missed))
    (directory / "loads").unlink(missing_ok=True)


@pytest.fixture
def counted(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite that notes every load, call and body, and misses what it is told to."""
    pytester.makepyfile(test_it=COUNTED.format(here=str(notes(pytester))))
    miss(pytester)
    return pytester


def test_a_baseline_is_recorded_in_rounds_each_in_a_fresh_container(counted: pytest.Pytester) -> None:
    record(counted, "-o", "modal_baseline_rounds=4")
    processes = lines(counted, "loads")
    assert len(set(processes)) == len(processes) == 4
    bodies = lines(counted, "bodies")
    assert sorted(bodies) == sorted(processes)
    rounds = rounds_of(counted)
    assert [each["app"] for each in rounds] == ["local"] * 4
    assert {each["accuracy"] for each in rounds} == {1.0}
    # What is not gated is not repeated.
    assert len(lines(counted, "calls")) == 4
    # Artifacts are those of the run that decided, which is the last.
    directory = counted.path / "modal_output/test_it/test_accuracy"
    assert sorted(path.name for path in directory.iterdir()) == [f"{bodies[-1]}.txt", "model.json"]
    assert json.loads((directory / "model.json").read_text()) == int(bodies[-1])


SHUFFLED = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container")
    def noted():
        return []


    {parts}


    def test_accuracy({letters}, accuracy_gate):
        order = max(({letters}), key=len)
        assert sorted(order) == sorted("abcdef")
        with open({here!r} + "/orders", "a") as file:
            print(order, file=file)
        accuracy_gate("toy", [{{"id": n, "correct": True}} for n in range(100)])
"""


def test_calls_are_in_another_order_in_each_round(pytester: pytest.Pytester) -> None:
    parts = "\n".join(
        f"""
    @pytest_modal.fixture
    def {letter}(noted):
        noted.append("{letter}")
        return "".join(noted)
    """
        for letter in "abcdef"
    )
    source = SHUFFLED.format(parts=parts.strip(), letters=", ".join("abcdef"), here=str(notes(pytester)))
    pytester.makepyfile(test_it=source)
    record(pytester, "-o", "modal_baseline_rounds=4")
    orders = lines(pytester, "orders")
    assert len(orders) == 4
    assert len(set(orders)) > 2


def test_a_flaky_gate_recovers_in_fresh_rounds(counted: pytest.Pytester) -> None:
    record(counted, "-o", "modal_baseline_rounds=5")
    for name in ("bodies", "calls"):
        lines(counted, name)
    miss(counted, _1=3)
    result = run(counted, "-o", "modal_gate_confirm=2")
    result.assert_outcomes(passed=5)
    assert_lines(
        result.outlines,
        [
            "modal: *: 2 fresh rounds for 1 test with suspicious gates: 4 calls",
            "toy  PASS  100.0% -> 99.5%*after 2 fresh rounds: 100.0%*",
            "1 gated",
        ],
    )
    processes, bodies = lines(counted, "loads"), lines(counted, "bodies")
    assert len(set(processes)) == 3
    assert sorted(bodies) == sorted(processes)
    assert len(lines(counted, "calls")) == 4
    directory = counted.path / "modal_output/test_it/test_accuracy"
    assert (directory / f"{bodies[-1]}.txt").exists()
    assert not (directory / f"{bodies[0]}.txt").exists()


def test_a_true_drop_is_confirmed_after_all_other_tests(counted: pytest.Pytester) -> None:
    record(counted)
    miss(counted, other=12)
    result = run(counted, "-v", "-o", "modal_gate_confirm=2")
    result.assert_outcomes(passed=4, failed=1)
    assert_lines(
        result.stdout.lines,
        [
            "test_it.py::test_other[d] PASSED*",
            "modal: *2 fresh rounds for 1 test*",
            "test_it.py::test_accuracy FAILED*",
            "E *confirmed by 2 fresh rounds: 94.0%",
        ],
    )
    assert gates(counted)["toy"]["result"]["rounds"] == 3


def test_one_worker_confirms_for_all(counted: pytest.Pytester) -> None:
    record(counted)
    lines(counted, "bodies")
    miss(counted, other=12)
    result = run(counted, "-n", "2", "-o", "modal_gate_confirm=2")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["E *confirmed by 2 fresh rounds: 94.0%", "1 gated"])
    assert gates(counted)["toy"]["result"]["rounds"] == 3
    assert len(lines(counted, "bodies")) == 3


def test_local_mode_confirms_nothing_unless_told_to(counted: pytest.Pytester) -> None:
    record(counted)
    miss(counted, other=12)
    result = run(counted)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.no_fnmatch_line("*fresh round*")


def test_a_suspicious_gate_without_its_fresh_rounds_never_passes(counted: pytest.Pytester) -> None:
    record(counted)
    miss(counted, other=12)
    path = counted.path / "test_it.py"
    path.write_text(path.read_text() + "\n\ndef test_wrong():\n    assert False\n")
    result = run(counted, "-x", "-o", "modal_gate_confirm=2")
    result.assert_outcomes(passed=4, failed=1)
    assert_lines(result.outlines, ["toy  FAIL*; its fresh rounds were not run, so it counts as failed"])


def test_a_test_that_fails_by_itself_is_not_confirmed(counted: pytest.Pytester) -> None:
    record(counted)
    miss(counted, other=12)
    path = counted.path / "test_it.py"
    path.write_text(path.read_text().replace('accuracy_gate("toy", answers)', 'accuracy_gate("toy", answers).nothing'))
    result = run(counted, "-o", "modal_gate_confirm=2")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.no_fnmatch_line("*fresh round*")
    result.stdout.fnmatch_lines(["E *AttributeError*", "toy  FAIL*"])


def test_a_round_that_fails_records_nothing(counted: pytest.Pytester) -> None:
    path = counted.path / "test_it.py"
    path.write_text(
        path.read_text().replace(
            "    loads = len(",
            "    if len(pathlib.Path(HERE, 'loads').read_text().splitlines()) == 3: raise RuntimeError('lost')\n"
            "    loads = len(",
        )
    )
    result = run(counted, "--modal-update-baselines")
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*RuntimeError: lost"])
    assert not baseline(counted).exists()


def test_the_plan_says_what_rounds_cost(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    ask(pytester)
    result = run(pytester, "--modal-plan", "--modal-update-baselines")
    result.stdout.fnmatch_lines(
        ["baselines: 5 rounds of the 1 call of 1 gated test: 4 calls more, each round in its own session"]
    )
    result = run(pytester, "--modal-plan", "--modal")
    more = "4 calls more at most, each round in its own session"
    result.stdout.fnmatch_lines([f"suspicious gates: 4 fresh rounds of the 1 call of 1 gated test: {more}"])


def test_on_modal_each_round_of_a_baseline_is_a_session_and_each_of_a_confirmation(
    counted: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    counted.makepyfile(conftest="", test_it=COUNTED.format(here=str(modal_server.shared)))
    miss(counted, where=modal_server.shared)
    arguments = ("-p", "no:randomly", "-W", "default", "--modal")
    recorded = counted.runpytest_subprocess(
        *arguments, "-n", "2", "--modal-update-baselines", "-o", "modal_baseline_rounds=3", timeout=90
    )
    recorded.assert_outcomes(passed=5)
    facts = modal_server.facts()
    apps = [each["id"] for each in facts["apps"]]
    assert Counter(each["function_name"] for each in facts["containers"]) == {"T4.*": 3}
    recorded.stdout.fnmatch_lines(["session of round 1: ap-*", "session of round 2: ap-*", "session of round 3: ap-*"])
    recorded.stdout.fnmatch_lines(["toy: baseline recorded, 3 rounds from 3 sessions"])
    assert [len(set(lines(counted, name, modal_server.shared))) for name in ("loads", "bodies")] == [3, 3]
    assert sorted(each["app"] for each in rounds_of(counted)) == sorted(apps)
    oldest = rounds_of(counted)[0]["app"]
    added = counted.runpytest_subprocess(
        *arguments, "-n", "2", "--modal-update-baselines=add", "-o", "modal_baseline_rounds=3", timeout=90
    )
    added.assert_outcomes(passed=5)
    added.stdout.fnmatch_lines(["toy: round added, 3 rounds from 3 sessions"])
    kept = {each["app"] for each in rounds_of(counted)}
    assert (oldest in kept, len(kept)) == (False, 3)
    miss(counted, other=12, where=modal_server.shared)
    confirmed = counted.runpytest_subprocess(*arguments, timeout=90)
    confirmed.assert_outcomes(passed=4, failed=1)
    confirmed.stdout.fnmatch_lines(["E *confirmed by 4 fresh rounds: 94.0%"])
    assert len(modal_server.facts()["apps"]) == 3 + 1 + 1 + 4


SLOW = """
import pytest_modal


@pytest_modal.fixture
def answers():  # modal: allow PM102
    import pathlib, tempfile, time
    tempfile.NamedTemporaryFile(dir={here!r}, prefix="started-", delete=False)
    time.sleep(60)
    return []


def test_accuracy(answers, accuracy_gate):
    accuracy_gate("toy", answers)
"""


def test_ctrl_c_ends_all_sessions_of_a_recording(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(test_it=SLOW.format(here=str(modal_server.shared)))
    command = [sys.executable, "-m", "pytest", "--modal", "--modal-update-baselines", "-o", "modal_baseline_rounds=2"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as process:
        while len(list(modal_server.shared.glob("started-*"))) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        modal_server.fail("rpc", rpc="AppClientDisconnect", delay=1.0)  # one session ends long before the other
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "interrupted: 0 of 2 calls are kept; pytest --modal --modal-resume continues" in output
    facts = modal_server.wait_for(lambda facts: all(each["ended_at"] for each in facts["containers"]))
    stopped = [(each["state"], each["stop_reason"]) for each in facts["apps"]]
    assert stopped == [("stopped", "keyboard_interrupt")] * 2


def test_a_regression_is_accepted_from_recordings_without_a_gpu(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.makeini("[pytest]\nmodal_baseline_rounds = 3\n")
    ask(pytester)
    record(pytester)
    ask(pytester, wrong=range(10))
    run(pytester, "--modal-record", "--modal-update-baselines").assert_outcomes(failed=1)
    refused = run(pytester, "--modal-mode=replay")
    refused.assert_outcomes(failed=1)
    assert_lines(
        refused.stdout.lines,
        [
            '*if this is intended: pytest "*" --modal-mode=replay --modal-update-baselines '
            '--modal-accept-regression="why"'
        ],
    )
    refused.stdout.no_fnmatch_line("*no test uses these recordings*")
    accepted = run(pytester, "--modal-mode=replay", "--modal-update-baselines", "--modal-accept-regression=4 bits")
    accepted.assert_outcomes(passed=1)
    assert_lines(accepted.outlines, ["toy  ACCEPTED  100.0% -> 95.0%*over 3 rounds now*"])
    assert_lines(accepted.outlines, ["toy: regression accepted, 100.0% -> 95.0%, 3 rounds: 4 bits"])
    assert (len(rounds_of(pytester)), history(pytester)[-1]["reason"]) == (3, "4 bits")
    run(pytester, "--modal-mode=replay").assert_outcomes(passed=1)


def worse(pytester: pytest.Pytester) -> None:
    """Have twenty answers wrong by the function's code, so that recordings are stale."""
    edit(pytester, '"output": each["output"]', '"output": "forty" if each["id"] < "q020" else "42"')
    edit(pytester, 'each["output"] == "42"', 'each["id"] >= "q020"')


def test_a_replay_of_too_few_rounds_is_not_advised_and_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    ask(pytester)
    run(pytester, "--modal-record", "--modal-update-baselines").assert_outcomes(passed=1)
    worse(pytester)
    failed = run(pytester, "--modal-record")  # one round
    failed.assert_outcomes(failed=1)
    (advice,) = (line.partition("intended: pytest ")[2] for line in failed.outlines if "if this is intended: " in line)
    arguments = ("--modal-mode=replay", "--modal-update-baselines", "--modal-accept-regression=why")
    refused = run(pytester, *arguments)
    refused.assert_outcomes(failed=1)
    assert_lines(
        refused.stdout.lines,
        [
            "E *BaselineError: gate 'toy': 1 round of test_it.py::test_accuracy is recorded, but its baseline has 5",
            "E *where: baselines/toy.jsonl",
            'E *what to do: record as many: pytest "test_it.py::test_accuracy" --modal --modal-record '
            '--modal-update-baselines --modal-accept-regression="why"; or set modal_baseline_rounds = 1',
        ],
    )
    accepted = run(pytester, *arguments, "-o", "modal_baseline_rounds=1")
    accepted.assert_outcomes(passed=1)
    assert_lines(accepted.stdout.lines, ["toy: regression accepted, 100.0% -> 90.0%, 1 round (there were 5): why"])
    run(pytester, *shlex.split(advice)).assert_outcomes(passed=1)
    assert len(rounds_of(pytester)) == 5


def test_a_nightly_run_adds_its_round_to_the_baseline(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    ask(pytester)
    record(pytester)
    ask(pytester, wrong=[7])
    result = run(pytester, "--modal-update-baselines=add")
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["toy: round added, 5 rounds from one session"])
    assert [each["accuracy"] for each in rounds_of(pytester)] == [1, 1, 1, 1, 0.995]


def test_a_gate_over_a_mock_does_not_advise_a_replay(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    ask(pytester)
    record(pytester)
    edit(pytester, "@pytest_modal.fixture\n", "@pytest_modal.fixture(mock=wrong)\n")
    edit(
        pytester,
        "@pytest.fixture",
        "def wrong(questions):\n    return [{'id': q['id'], 'input': q['id'] + '?', 'output': '', 'correct': False} "
        "for q in questions]\n\n@pytest.fixture",
    )
    failed = run(pytester, "--modal-record")
    failed.assert_outcomes(failed=1)
    assert_lines(
        failed.stdout.lines, ['*if this is intended: pytest "test_it.py::test_accuracy" --modal-update-baselines *']
    )


def test_a_replay_has_the_rounds_that_were_recorded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    ask(pytester)
    run(pytester, "--modal-record").assert_outcomes(passed=1, warnings=1)
    result = run(pytester, "--modal-mode=replay", "--modal-update-baselines")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["toy: baseline recorded, 1 round"])
