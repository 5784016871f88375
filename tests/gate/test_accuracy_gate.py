"""What a user lives through with an accuracy gate, from the first run to an accepted regression."""

from __future__ import annotations

import csv
import difflib
import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET

import pytest
from gated_suite import SUITE, anchor, ask, baseline, edit, gates, history, record, rounds_of, run
from literal_lines import assert_lines, assert_lines_in_any_order


@pytest.fixture(autouse=True)
def _suite(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.makeini("[pytest]\nmodal_baseline_rounds = 1\n")
    ask(pytester)


def test_the_first_run_compares_nothing_and_says_so(pytester: pytest.Pytester) -> None:
    result = run(pytester)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*AccuracyWarning: NO BASELINE  toy  100.0% of 200 items, compared with nothing",
            "*where: test_it.py::test_accuracy, baselines/toy.jsonl",
            '*what to do: record it and commit it: pytest "test_it.py::test_accuracy" --modal-update-baselines',
            "toy  NO BASELINE  100.0% *compared with nothing; n=200",
            "0 gated, 1 without baseline",
        ]
    )
    assert not baseline(pytester).exists()


def test_in_ci_a_missing_baseline_fails_and_the_command_that_it_names_records_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    named = re.search(r"record it and commit it: (pytest .*)", result.stdout.str())
    assert named is not None
    program, *args = shlex.split(named[1])
    assert program == "pytest"
    run(pytester, *args).assert_outcomes(passed=1)
    assert baseline(pytester).exists()
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["toy  PASS  100.0% -> 100.0%, +0.0 points *; n=200", "1 gated"])


def test_an_update_changes_the_lines_of_changed_items_only(pytester: pytest.Pytester) -> None:
    ask(pytester, wrong=[7])
    record(pytester)
    before = {path.name: path.read_text().splitlines() for path in baseline(pytester).parent.iterdir()}
    ask(pytester, wrong=[9])
    record(pytester)
    after = {path.name: path.read_text().splitlines() for path in baseline(pytester).parent.iterdir()}
    assert set(before) == set(after) == {"toy.jsonl", "toy.outputs.jsonl"}
    changed = {
        name: [
            line
            for line in difflib.unified_diff(before[name][1:], after[name][1:], n=0, lineterm="")
            if not line.startswith(("---", "+++", "@@"))
        ]
        for name in before
    }
    items = [json.loads(line[1:]) for line in changed["toy.jsonl"] if '{"id"' in line]
    assert [item["id"] for item in items] == ["q007", "q007", "q009", "q009"]
    assert changed["toy.outputs.jsonl"] == [
        '-{"id":"q007","out":"forty"}',
        '+{"id":"q007","out":"42"}',
        '-{"id":"q009","out":"42"}',
        '+{"id":"q009","out":"forty"}',
    ]


def test_an_update_without_a_change_leaves_the_files_alone(pytester: pytest.Pytester) -> None:
    record(pytester)
    before = baseline(pytester).read_bytes()
    result = run(pytester, "--modal-update-baselines")
    result.stdout.fnmatch_lines(["toy: baseline unchanged"])
    assert baseline(pytester).read_bytes() == before


def test_a_drop_fails_and_lists_the_flips(pytester: pytest.Pytester) -> None:
    record(pytester)
    ask(pytester, wrong=range(20, 30))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(
        result.stdout.lines,
        [
            "E *AccuracyRegression: ACCURACY REGRESSION  toy  100.0% -> 95.0%, -5.0 points [-7.8, -2.2]",
            "E *10 of 200 items got worse, 0 better; re-running the unchanged model would do that once in *",
            'E *q020  1/1    0/1    "q020?"  "42" -> "forty"',
            "E *... 5 more: modal_output/test_it/test_accuracy/toy.flips.csv",
            'E *if this is intended: pytest "*" --modal-update-baselines --modal-accept-regression="why"',
            "toy  FAIL  100.0% -> 95.0%*",
            "1 gated",
        ],
    )
    assert "gate/verdict.py" not in result.stdout.str()
    with (pytester.path / "modal_output/test_it/test_accuracy/toy.flips.csv").open() as file:
        flips = list(csv.DictReader(file))
    assert [flip["id"] for flip in flips] == [f"q{number:03}" for number in range(20, 30)]
    assert (flips[0]["was"], flips[0]["is"]) == ("42", "forty")
    listed = json.loads((pytester.path / "modal_output/artifacts.json").read_text())["artifacts"]
    assert [each["path"] for each in listed] == ["test_it/test_accuracy/toy.flips.csv"]


def test_a_drop_is_recorded_only_with_a_reason(pytester: pytest.Pytester) -> None:
    record(pytester)
    before = baseline(pytester).read_bytes()
    ask(pytester, wrong=range(10))
    refused = run(pytester, "--modal-update-baselines")
    refused.assert_outcomes(failed=1)
    refused.stdout.fnmatch_lines(["toy: baseline not written, because the gate failed"])
    assert baseline(pytester).read_bytes() == before
    accepted = run(pytester, "--modal-update-baselines", "--modal-accept-regression=4-bit weights")
    accepted.assert_outcomes(passed=1)
    accepted.stdout.fnmatch_lines(["toy  ACCEPTED  100.0% -> 95.0%*", "toy: regression accepted, *: 4-bit weights"])
    assert rounds_of(pytester)[0]["accuracy"] == anchor(pytester)["accuracy"] == 0.95
    last = history(pytester)[-1]
    assert (last["reason"], last["anchor"]["accuracy"]) == ("4-bit weights", 1.0)
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--modal-accept-regression=why"], "*add --modal-update-baselines*"),
        (["--modal-accept-regression= ", "--modal-update-baselines"], "*--modal-accept-regression has no reason, *"),
        (["-o", "modal_gate=lax"], "*modal_gate = 'lax' is not valid*"),
        (["-o", "modal_baseline_rounds=0"], "*set it to a number of rounds, from 1 to 100*"),
        (["-o", "modal_gate_confirm=two"], "*set it to a number of rounds, from 0 to 100*"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(pytester: pytest.Pytester, args: list[str], message: str) -> None:
    result = run(pytester, *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_nothing_is_recorded_of_a_test_that_fails_after_its_gate(pytester: pytest.Pytester) -> None:
    edit(pytester, 'accuracy_gate("toy", answers)', "assert accuracy_gate('toy', answers).n == 3")
    result = run(pytester, "--modal-update-baselines")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["toy: baseline not written, test_it.py::test_accuracy failed"])
    assert not baseline(pytester).exists()


def test_nothing_is_recorded_of_a_test_whose_teardown_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def untidy():
            yield
            raise RuntimeError("could not clean up")
        """
    )
    run(pytester, "--modal-update-baselines").assert_outcomes(passed=1, errors=1)
    assert not baseline(pytester).exists()


def test_a_bad_merge_is_an_error_that_says_so(pytester: pytest.Pytester) -> None:
    record(pytester)
    text = baseline(pytester).read_text()
    baseline(pytester).write_text(text.replace('"q003","r":1', '"q003","r":0'))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *BaselineError: *merge*", "E *where: *baselines/toy.jsonl*", "E *what to do: *"])


def git(pytester: pytest.Pytester, *arguments: str) -> int:
    """Run git in the project, as somebody."""
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", *arguments]
    return subprocess.run(command, cwd=pytester.path, check=False, capture_output=True).returncode


@pytest.mark.parametrize("resolved", [False, True])
def test_branches_that_both_recorded_are_merged_by_the_command_of_the_message(
    pytester: pytest.Pytester, resolved: bool
) -> None:
    record(pytester)
    (pytester.path / ".gitignore").write_text("*\n!baselines/\n!baselines/*\n")
    assert git(pytester, "init", "-b", "main") == git(pytester, "add", ".") == git(pytester, "commit", "-m", "a") == 0
    for branch, wrong in (("theirs", 150), ("ours", 50)):
        assert git(pytester, "checkout", "-b", branch, "main") == 0
        ask(pytester, wrong=[wrong])
        record(pytester)
        assert git(pytester, "commit", "-am", branch) == 0
    assert git(pytester, "merge", "theirs") == 1
    if resolved:  # with the header of one side, and the items of both
        lines = baseline(pytester).read_text().splitlines(keepends=True)
        kept = [line for line in lines[lines.index("=======\n") + 1 :] if not line.startswith(">>>>>>>")]
        baseline(pytester).write_text("".join([lines[1], *kept[1:]]))
    message = run(pytester)
    message.assert_outcomes(failed=1)
    message.stdout.fnmatch_lines(
        ["E *BaselineError: *a bad merge*" if resolved else "E *BaselineError: *has conflict markers*"]
    )
    (advice,) = (line for line in message.outlines if "what to do: " in line)
    checkout = re.search(r"git (checkout \w+ -- \S+ [\w/.]+)", advice)
    assert checkout is not None, advice
    assert git(pytester, *checkout[1].replace("COMMIT", "HEAD").split()) == 0
    record(pytester)
    ask(pytester, wrong=[50])
    run(pytester).assert_outcomes(passed=1)


def test_a_renamed_gate_is_recognised_by_its_items(pytester: pytest.Pytester) -> None:
    record(pytester)
    edit(pytester, '"toy"', '"arithmetic"')
    result = run(pytester)
    result.stdout.fnmatch_lines(["*if the gate was 'toy' before, rename toy.jsonl and toy.outputs.jsonl with git mv*"])


def test_removed_items_are_an_error_and_new_ones_are_not_gated(pytester: pytest.Pytester) -> None:
    record(pytester)
    ask(pytester, ids=[f"q{number:03}" for number in range(190)])
    removed = run(pytester)
    removed.assert_outcomes(failed=1)
    removed.stdout.fnmatch_lines(["E *BaselineError: *the rows lack 10 items of the baseline: 'q190'*"])
    ask(pytester, n=203)
    added = run(pytester)
    added.assert_outcomes(passed=1, warnings=1)
    assert_lines(added.outlines, ["*3 items not in the baseline and not gated*", "toy  PASS*3 new items not gated*"])


def test_bad_rows_are_an_error_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    ask(pytester, ids=["a", "b", "a"])
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['>       accuracy_gate("toy", answers)', "E *ValueError: accuracy_gate 'toy': 1 duplicate id: 'a'"]
    )
    assert "rows.py" not in result.stdout.str()


TWICE = """
    import pytest
    ROWS = [{"id": n, "correct": True} for n in range(20)]

    def test_one(accuracy_gate): accuracy_gate("same", ROWS)
    def test_two(accuracy_gate): accuracy_gate("same", ROWS)

    @pytest.mark.parametrize("model", ["a", "b"])
    def test_models(accuracy_gate, model): accuracy_gate("models", ROWS)

    @pytest.mark.parametrize("model", ["a", "b"])
    def test_named(accuracy_gate, model): accuracy_gate(f"{model}-named", ROWS)

    def test_again(accuracy_gate):
        accuracy_gate("again", ROWS)
        accuracy_gate("again", ROWS)
"""


@pytest.mark.parametrize("workers", ["0", "4"])
def test_one_name_is_one_gate(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makepyfile(test_it=TWICE)
    result = run(pytester, "-n", workers, "--modal-update-baselines")
    result.assert_outcomes(passed=4, failed=3)
    assert_lines_in_any_order(
        result.stdout.lines,
        [
            "E *ValueError: the name of gate 'same' is already in use, by test_it.py::test_*",
            "E *ValueError: the name of gate 'models' is already in use, by test_it.py::test_models[*]*",
            "E *ValueError: the name of gate 'again' is already in use, by this test",
            "E *what to do: give each gate its own name, with the parameter in it: *",
        ],
    )
    assert {"a-named.jsonl", "b-named.jsonl"} <= {path.name for path in baseline(pytester).parent.iterdir()}
    assert not baseline(pytester, "again").exists()


def test_workers_leave_the_baselines_to_the_controller(pytester: pytest.Pytester) -> None:
    suite = "\n".join(
        f"def test_{n}(accuracy_gate): accuracy_gate('gate-{n}', [dict(id=i, correct=i > {n}) for i in range(40)])"
        for n in range(8)
    )
    pytester.makepyfile(test_it=suite)
    record(pytester, "-n", "4")
    assert [anchor(pytester, f"gate-{n}")["accuracy"] for n in range(8)] == [(39 - n) / 40 for n in range(8)]
    result = run(pytester, "-n", "4")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["8 gated"])
    assert len(gates(pytester)) == 8


def test_an_inconclusive_gate_is_a_line_in_the_summary_and_fails_when_strict(pytester: pytest.Pytester) -> None:
    ask(pytester, n=60)
    record(pytester, "-o", "modal_baseline_rounds=5")
    ask(pytester, n=60, wrong=[5, 6])
    lenient = run(pytester)
    lenient.assert_outcomes(passed=1)
    lenient.stdout.fnmatch_lines(["toy  INCONCLUSIVE *", "  note: a drop of 3.0 points or more was seen, *"])
    assert "warning" not in lenient.outlines[-1]
    strict = run(pytester, "-o", "modal_gate=strict")
    strict.assert_outcomes(failed=1)
    strict.stdout.fnmatch_lines(["E *ACCURACY INCONCLUSIVE  toy*"])


def test_a_powerless_gate_is_reported_when_it_is_recorded(pytester: pytest.Pytester) -> None:
    ask(pytester, n=3)
    result = run(pytester, "--modal-update-baselines")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*gate toy can't fail: with 3 items its smallest p-value is 0.12*"])


def test_an_improvement_is_suggested_and_never_recorded_by_itself(pytester: pytest.Pytester) -> None:
    ask(pytester, wrong=range(40))
    record(pytester)
    before = baseline(pytester).read_bytes()
    ask(pytester)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["toy  IMPROVED  80.0% -> 100.0%*record it with --modal-update-baselines*"])
    assert baseline(pytester).read_bytes() == before


def test_each_device_can_have_baselines_of_its_own(pytester: pytest.Pytester) -> None:
    record(pytester)
    record(pytester, "-o", "modal_baseline_per_gpu=true")
    assert sorted(path.name for path in baseline(pytester).parent.iterdir()) == [
        "toy.cpu.jsonl",
        "toy.cpu.outputs.jsonl",
        "toy.jsonl",
        "toy.outputs.jsonl",
    ]
    baseline(pytester).write_text("the general one isn't looked at\n")
    run(pytester).assert_outcomes(passed=1)


def test_a_baseline_of_another_device_is_used_with_a_warning(pytester: pytest.Pytester) -> None:
    record(pytester)
    text = baseline(pytester).read_text()
    assert '"gpu":"cpu"' in text
    baseline(pytester).write_text(text.replace('"gpu":"cpu"', '"gpu":"NVIDIA H100"'))
    result = run(pytester)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*the baseline was made on another device: NVIDIA H100, now cpu"])


def test_the_run_is_told_to_junit_to_github_and_to_programs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(pytester)
    ask(pytester, wrong=range(10))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    run(pytester, "--junitxml=junit.xml")
    case = ET.parse(pytester.path / "junit.xml").find(".//testcase")
    assert case is not None
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties["modal_gate.toy.verdict"] == "FAIL"
    assert properties["modal_gate.toy.newly_failing"] == "10"
    assert "| `toy` | **FAIL** | 100.0% | 95.0% | -5.0 | [" in (pytester.path / "summary.md").read_text()
    told = gates(pytester)["toy"]
    assert (told["verdict"], told["test"]) == ("FAIL", "test_it.py::test_accuracy")
    assert told["result"]["change"]["change"] == pytest.approx(-0.05)


def test_the_gate_returns_what_it_found(pytester: pytest.Pytester) -> None:
    record(pytester)
    edit(
        pytester,
        'accuracy_gate("toy", answers)',
        'result = accuracy_gate("toy", answers)\n'
        "    assert (result.verdict, result.accuracy, result.n, result.rounds) == ('PASS', 1.0, 200, 1)",
    )
    run(pytester).assert_outcomes(passed=1)


def test_what_a_test_demands_holds_without_a_baseline(pytester: pytest.Pytester) -> None:
    ask(pytester, wrong=[3])
    edit(pytester, '"toy", answers)', '"toy", answers, min_accuracy=0.999, must_pass=["q003"])')
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *ACCURACY TOO LOW  toy*", "E *MUST PASS  toy  1 item of must_pass failed: q003"])


TEN = "\n".join(
    f"def test_{n}(accuracy_gate): accuracy_gate('gate-{n}', [dict(id=i, correct=i > WRONG) for i in range(400)])"
    for n in range(10)
)


def test_the_more_gates_the_project_has_the_stricter_is_each_whatever_was_selected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=f"WRONG = -1\n{TEN}")
    record(pytester)
    run(pytester, "-k", "test_1")
    assert {name: gate["result"]["outlook"]["level"] for name, gate in gates(pytester).items()} == {"gate-1": 0.001}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ten_gates_that_lose_a_little_each_fail_the_run_together(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makepyfile(test_it=f"WRONG = -1\n{TEN}")
    record(pytester, "-n", workers)
    edit(pytester, "WRONG = -1", "WRONG = 2")
    result = run(pytester, "-n", workers)
    result.assert_outcomes(passed=10)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {gate["result"]["outlook"]["level"] for gate in gates(pytester).values()} == {0.001}
    assert_lines(
        result.outlines,
        [
            "ACCURACY REGRESSION of all gates, though of no single one: 10 gates together  -0.8 points, p=9.3e-10",
            "gate-*",
            "10 gated",
        ],
    )


def test_a_gate_that_was_requested_and_never_called_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest
        def test_forgets(accuracy_gate): pass
        def test_skips(accuracy_gate): pytest.skip("not today")
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, skipped=1)
    assert_lines(
        result.outlines,
        ["test_it.py::test_forgets: accuracy_gate requested, never called", "0 gated"],
        consecutive=True,
    )
    assert "test_skips: accuracy_gate" not in result.stdout.str()


def test_gates_of_a_loop_that_a_failure_cut_short_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        WRONG = -1
        def test_subjects(accuracy_gate):
            for name in ("algebra", "biology", "chemistry"):
                accuracy_gate(name, [dict(id=i, correct=i > WRONG) for i in range(100)])
        """
    )
    record(pytester, "-o", "modal_baseline_rounds=5")
    edit(pytester, "WRONG = -1", "WRONG = 40")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(result.outlines, ["2 not compared: biology, chemistry"])
    # Where one file of several is run, the baselines of its directory may be those of the others.
    assert "not compared" not in run(pytester, "test_it.py").stdout.str()


CATEGORIES = """
def test_subjects(accuracy_gate):
    rows = [dict(id=i, input=i, subject="ab"[i % 2], correct=i % 2 or i > WRONG) for i in range(400)]
    accuracy_gate("toy", [{**row, "correct": bool(row["correct"])} for row in rows], by="subject")
"""


def test_a_gate_by_category_is_one_gate_with_a_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=f"WRONG = -1\n{CATEGORIES}")
    record(pytester)
    edit(pytester, "WRONG = -1", "WRONG = 60")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(
        result.outlines,
        ["E *a         200    100.0% -> 84.5%, -15.5 points * FAIL", "E *b         200    100.0% -> 100.0%*PASS"],
    )
    by_name = {each["name"]: each["verdict"] for each in gates(pytester)["toy"]["result"]["categories"]}
    assert by_name == {"a": "FAIL", "b": "PASS"}


def test_many_categories_are_not_many_lines(pytester: pytest.Pytester) -> None:
    many = CATEGORIES.replace('"ab"[i % 2]', 'f"subject-{i % 57:02}"').replace("400", "5700")
    pytester.makepyfile(test_it=f"WRONG = -1\n{many}")
    record(pytester)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["toy  PASS *", "  note: 57 of 57 categories PASS", "1 gated"])
    edit(pytester, "i % 2 or i > WRONG", "i % 57 != 7 or i > 1500")
    failed = run(pytester)
    failed.assert_outcomes(failed=1)
    assert_lines(
        failed.outlines,
        [
            "E *ACCURACY REGRESSION  toy, subject-07  100.0% -> *",
            "E *subject-07  100    100.0% -> *FAIL",
            "E *56 of 57 categories PASS",
            "  note: by category:",
            "    subject-07  100    100.0% -> *FAIL",
            "    56 of 57 categories PASS",
        ],
    )
    failed.stdout.no_fnmatch_line("*subject-08*")


ARMS = """
def rows(wrong):
    return [dict(id=i, input=i, correct=i >= wrong) for i in range(400)]

def test_quantised(accuracy_gate):
    accuracy_gate("quantised", rows(WRONG), reference=rows(5), margin=MARGIN)
"""


def test_two_arms_of_one_run_need_no_baseline(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=f"WRONG = 6\nMARGIN = None\n{ARMS}")
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["quantised  PASS  98.8% -> 98.5%, -0.3 points *", "1 gated"])
    edit(pytester, "WRONG = 6", "WRONG = 25")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(result.outlines, ["E *ACCURACY REGRESSION  quantised  98.8% -> 93.8%*"])
    assert not baseline(pytester).parent.exists()


def test_a_margin_fails_unless_the_drop_is_ruled_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=f"WRONG = 6\nMARGIN = 0.02\n{ARMS}")
    run(pytester).assert_outcomes(passed=1)
    edit(pytester, "MARGIN = 0.02", "MARGIN = 0.005")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(result.outlines, ["E *NOT AS GOOD  quantised *", "E *what to do: about * items would rule it out*"])


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ("margin=0.01", "margin=0.01 without a reference*"),
        ("reference=[dict(id=1, correct=True)]", "the reference has other items than the rows: '0', '2'*"),
        ("by='id'", "every item is the only one of its category, by='id'"),
        ("score='nll', min_drop=0.1", "'nll' is not finite for '2': inf"),
        ("score='nan', min_drop=0.1", "'nan' is missing for 3 items: '0', '1', '2'"),
        ("score='nll'", "score='nll' has no min_drop*"),
        ("reference=[dict(id=i, input=7, correct=True) for i in range(3)]", "the reference has other inputs*"),
    ],
)
def test_what_makes_no_sense_is_an_error(pytester: pytest.Pytester, keywords: str, message: str) -> None:
    row = "dict(id=i, input=i, correct=True, nll=1 / (2 - i) if i < 2 else float('inf'), nan=float('nan'))"
    pytester.makepyfile(
        test_it=f"def test_it(accuracy_gate): accuracy_gate('toy', [{row} for i in range(3)], {keywords})"
    )
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(result.outlines, [f"E *ValueError: accuracy_gate 'toy': {message}", "E *where: test_it.py::test_it"])


def test_a_score_of_which_less_is_better(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        BY = 0
        def test_it(accuracy_gate):
            rows = [dict(id=i, input=i, nll=2 + i / 100 + BY) for i in range(50)]
            accuracy_gate("toy", rows, score="nll", higher_is_better=False, min_drop=0.01)
        """
    )
    record(pytester)
    edit(pytester, "BY = 0", "BY = -0.1")
    assert_lines(run(pytester).outlines, ["toy  IMPROVED  2.245 -> 2.145, -0.1 *"])
    edit(pytester, "BY = -0.1", "BY = 0.1")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert_lines(result.outlines, ["toy  FAIL  2.245 -> 2.345, +0.1 *"])


def test_the_run_that_records_a_first_baseline_says_so_and_nothing_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    pytester.makeini("[pytest]\nmodal_baseline_rounds = 5\n")
    result = run(pytester, "--modal-update-baselines")
    result.assert_outcomes(passed=1)
    assert_lines(
        result.outlines,
        [
            "toy  first baseline  100.0% [98.7%, 100.0%]; n=200: sees a drop of 1.9 points *",
            "toy: baseline recorded, 5 rounds from one session",
            "0 gated, 1 recorded for the first time",
        ],
        consecutive=True,
    )
    for text in (result.stdout.str(), summary.read_text()):
        assert not any(word in text for word in ("NO BASELINE", "without baseline", "compared with", "toothless"))
    assert gates(pytester)["toy"]["verdict"] == "NO BASELINE"


def test_a_first_baseline_that_is_not_written_is_not_said_to_be(pytester: pytest.Pytester) -> None:
    edit(pytester, 'accuracy_gate("toy", answers)', 'accuracy_gate("toy", answers)\n    assert 0')
    result = run(pytester, "--modal-update-baselines")
    result.assert_outcomes(failed=1)
    assert_lines(
        result.outlines,
        ["toy: baseline not written, test_it.py::test_accuracy failed", "0 gated, 1 without baseline"],
        consecutive=True,
    )


@pytest.mark.parametrize("column", ["prompt", "question", "problem"])
def test_inputs_are_noticed_under_their_usual_names(pytester: pytest.Pytester, column: str) -> None:
    edit(pytester, '"input": each', f'"{column}": each')
    record(pytester)
    edit(pytester, '+ "?"', '+ "!"')
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert "gate 'toy': the input of 200 items has changed since the baseline" in result.stdout.str()


def test_without_inputs_a_note_says_that_changed_ones_go_unnoticed(pytester: pytest.Pytester) -> None:
    edit(pytester, '"input": each["id"] + "?", ', "")
    record(pytester)
    result = pytester.runpytest("-p", "no:randomly", "-W", "error::pytest_modal.AccuracyWarning")
    result.assert_outcomes(passed=1)
    assert_lines(
        result.outlines,
        [
            "  note: the rows have no inputs ('input', 'prompt', 'question', 'problem'), so that changed ones can't be "
            'noticed; name the column: input="..."'
        ],
    )
