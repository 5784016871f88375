"""Runs in workflows of GitHub and GitLab: the summary of the step, annotations, the comment, metrics, JUnit."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from literal_lines import assert_lines

SUITE = """
import pytest
import pytest_modal


@pytest_modal.fixture(scope="container")
def model():
    return 2


@pytest_modal.fixture
def answer(model):
    return 20 * model


@pytest_modal.fixture
def broken(model):
    print("::error::owned")
    raise ValueError("no | data\\x00 \\x1b[31m @octocat\\n::error::owned")


def test_answer(answer):
    assert answer == 40


def test_broken(broken):
    pass


def test_gate(accuracy_gate, answer):
    accuracy_gate("toy", [dict(id=n, correct=n >= WRONG, input=str(n)) for n in range(200)])


WRONG = 0
"""
RAISED = SUITE.splitlines().index(next(line for line in SUITE.splitlines() if "raise ValueError" in line)) + 1
GATE = SUITE.splitlines().index("def test_gate(accuracy_gate, answer):") + 1
WORKERS = pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite below a repository, in a workflow: a call raises, and a gate has fallen."""
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    pytester.runpytest_subprocess(
        "-p", "no:randomly", "--modal-update-baselines", "-omodal_baseline_rounds=1", "-k", "gate"
    ).assert_outcomes(passed=1)
    pytester.path.joinpath("test_it.py").write_text(SUITE.replace("WRONG = 0", "WRONG = 10"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    return pytester


def annotations(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.lstrip().startswith("::")]


@WORKERS
def test_a_workflow_sees_annotations_at_its_lines_below_the_summary(
    project: pytest.Pytester, workers: list[str]
) -> None:
    result = project.runpytest_subprocess("-p", "no:randomly", *workers)
    result.assert_outcomes(passed=1, failed=1, errors=1)
    here = project.path.name
    call, gate = annotations(result)
    assert call.startswith(
        f"::error file={here}/test_it.py,line={RAISED},title=broken%3A raised::broken raised ValueError%0A"
    )
    assert gate.startswith(
        f"::error file={here}/test_it.py,line={GATE},title=accuracy gate toy::toy  FAIL  100.0%25 -> "
    )
    assert [line for line in result.outlines if line][-2:] == [call, gate]
    assert_lines(result.outlines, ["\\x3a:error::owned"])  # what the function has printed


@WORKERS
def test_the_summary_of_the_step_is_written_once_and_the_comment_beside_the_record(
    project: pytest.Pytester, workers: list[str]
) -> None:
    project.path.joinpath("step.md").write_text("# Of another program")
    project.runpytest_subprocess("-p", "no:randomly", *workers)
    summary = project.path.joinpath("step.md").read_text()
    assert summary.startswith("# Of another program\n\n## pytest-modal: 1 failed, 1 error, 1 passed\n")
    assert summary.count("## pytest-modal") == 1
    assert "| `toy` | **FAIL** | 100.0% | 95.0% | -5.0 | [" in summary
    assert "Remote traceback (most recent call last):" in summary
    assert "1 model load |" in summary
    for name in ("run.json", "summary.md"):
        assert project.path.joinpath("modal_output", name).is_file()
    comment = project.path.joinpath("modal_output", "summary.md").read_text()
    assert comment.startswith("<!-- pytest-modal -->\n## pytest-modal: 1 failed, 1 error, 1 passed\n")
    assert not project.path.joinpath("modal_output", "metrics.txt").exists()


@pytest.mark.parametrize(
    "options", [["-q"], ["-qq", "--no-summary"], ["-s"], ["--capture=fd", "-rN"], ["-p", "no:terminal"]]
)
def test_annotations_are_printed_whatever_else_is(project: pytest.Pytester, options: list[str]) -> None:
    result = project.runpytest_subprocess("-p", "no:randomly", *options)
    assert len([line for line in annotations(result) if "title=" in line]) == 2


def test_elsewhere_nothing_is_annotated(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    result = project.runpytest_subprocess("-p", "no:randomly", "-k", "gate")
    assert annotations(result) == []
    assert not project.path.joinpath("step.md").exists()


def test_a_failed_test_is_left_to_a_plugin_that_annotates_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.path.joinpath("pytest_github_actions_annotate_failures.py").write_text("")
    monkeypatch.syspath_prepend(project.path)
    result = project.runpytest_subprocess("-p", "no:randomly", "-p", "pytest_github_actions_annotate_failures")
    (call,) = annotations(result)
    assert "title=broken%3A raised" in call


def test_gitlab_gets_metrics(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.setenv("GITLAB_CI", "true")
    project.runpytest_subprocess("-p", "no:randomly")
    lines = project.path.joinpath("modal_output", "metrics.txt").read_text().splitlines()
    assert {'modal_gate_accuracy{gate="toy"} 0.95', 'modal_calls{status="raised"} 1', "# EOF"} <= {*lines}


def test_pages_that_can_not_be_written_are_lines_of_the_summary(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "missing" / "step.md"))
    project.path.joinpath("modal_output", "summary.md").unlink()
    project.path.joinpath("modal_output", "summary.md").mkdir()
    result = project.runpytest_subprocess("-p", "no:randomly", "-k", "gate")
    assert_lines(result.outlines, ["summary.md was not written: *", "the summary of the step was not written: *"])


@WORKERS
@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_junit_has_what_calls_used_and_what_the_run_was(
    project: pytest.Pytester, family: str, workers: list[str]
) -> None:
    project.runpytest_subprocess(
        "-p", "no:randomly", "--junitxml=junit.xml", f"-ojunit_family={family}", "-ojunit_logging=all", *workers
    )
    root = ET.parse(project.path / "junit.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    found = {name: properties(case) for name, case in cases.items()}
    assert {"modal_device", "modal_container", "modal_seconds"} <= {*found["test_answer"]}
    assert found["test_answer"]["modal_device"] == "cpu"
    assert float(found["test_answer"]["modal_seconds"]) >= 0
    assert found["test_gate"]["modal_gate.toy.verdict"] == "FAIL"
    assert "modal_device" in found["test_gate"]
    assert "modal_device" in found["test_broken"]
    # A model is loaded once, for the first of the calls that need it.
    assert sum("modal_load_seconds" in each for each in found.values()) >= 1
    error = cases["test_broken"].find("error")
    assert error is not None
    assert "no | data" in (error.text or "")
    assert "owned" in "".join(element.text or "" for element in cases["test_broken"].iter())
    suite = root.find("testsuite")
    assert suite is not None
    run = properties(suite)
    assert (run["modal_mode"], run["modal_device"]) == ("local", "cpu")
    record = project.path.joinpath("modal_output", "run.json")
    assert f'"id": "{run["modal_run"]}"' in record.read_text()


def properties(element: ET.Element) -> dict[str, str]:
    """Return the properties of a test or of the run; each has one value."""
    found = [(each.get("name", ""), each.get("value", "")) for each in element.findall("properties/property")]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_a_test_that_runs_again_has_the_properties_of_its_last_attempt(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.path.joinpath("test_it.py").write_text(
        SUITE.replace("def test_answer(answer):", "def test_answer(answer):\n    assert next(TRIES)\n")
        + "\nTRIES = iter([False, True])\n"
    )
    pytester.runpytest_subprocess("-p", "no:randomly", "--reruns=1", "--junitxml=junit.xml", "-k", "test_answer")
    case = next(ET.parse(pytester.path / "junit.xml").getroot().iter("testcase"))
    assert "modal_device" in properties(case)
