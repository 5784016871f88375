"""The workflows that the documentation offers: they parse, and pytest takes their command lines with this plugin."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCS = Path(__file__).parents[1] / "docs"
FILES = sorted((DOCS / "workflows").iterdir())
GITHUB = [path for path in FILES if path.name != "gitlab-ci.yml"]
by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
of_github = pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key "on" for a truth value.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def scripts(node: Any) -> Iterator[str]:
    """Yield what shells run."""
    if isinstance(node, list):
        for each in node:
            yield from scripts(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("run", "script", "before_script"):
                yield from value if isinstance(value, list) else [value]
            else:
                yield from scripts(value)


def pytest_lines() -> list[tuple[str, str]]:
    lines = [(path.name, line) for path in FILES for script in scripts(read(path)) for line in script.splitlines()]
    page = DOCS / "ci.md"
    lines += [(page.name, line) for line in re.findall(r"`(pytest [^`]+)`", page.read_text())]
    return [(name, line.strip()) for name, line in lines if line.strip().startswith("pytest ")]


@pytest.mark.parametrize(("name", "line"), pytest_lines())
def test_pytest_takes_every_command_line(pytester: pytest.Pytester, name: str, line: str) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest(*shlex.split(line)[1:], "--collect-only", "-q", "-p", "no:randomly")
    assert result.ret == pytest.ExitCode.OK, result.stderr.str()


def test_the_command_lines_are_found() -> None:
    assert {name for name, _ in pytest_lines()} >= {
        "gpu-tests.yml",
        "nightly.yml",
        "pull-requests.yml",
        "gitlab-ci.yml",
    }


@of_github
def test_jobs_have_the_least_permissions_time_limits_and_one_run_at_a_time(path: Path) -> None:
    workflow = read(path)
    assert "pull_request_target" not in path.read_text()
    assert workflow["concurrency"]["group"]
    usual = workflow["permissions"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        granted = job.get("permissions", usual)
        # Where the project's code runs, nothing may be written; and no token stays behind in the checkout.
        if any("pytest " in script for script in scripts(job)):
            assert granted == {"contents": "read"}
            checkouts = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
            assert [step["with"]["persist-credentials"] for step in checkouts] == [False]
        else:
            assert "MODAL_TOKEN" not in str(job)


@of_github
def test_what_others_choose_is_never_part_of_a_script(path: Path) -> None:
    for script in scripts(read(path)):
        assert "${{" not in script


@of_github
def test_actions_have_a_major_version(path: Path) -> None:
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", each) for each in used)


def test_pull_requests_see_no_secret() -> None:
    path = DOCS / "workflows" / "pull-requests.yml"
    assert read(path)["on"] == "pull_request"
    assert "secrets." not in path.read_text()


def test_the_workflow_that_comments_follows_the_one_that_replays() -> None:
    comment, replay = (read(DOCS / "workflows" / f"{name}.yml") for name in ("comment", "pull-requests"))
    assert comment["on"]["workflow_run"]["workflows"] == [replay["name"]]
    text = DOCS.joinpath("workflows", "comment.yml").read_text()
    assert "checkout" not in text
    uploaded = [step["with"]["name"] for step in replay["jobs"]["replay"]["steps"] if "upload" in step.get("uses", "")]
    (download,) = [step for step in comment["jobs"]["comment"]["steps"] if "uses" in step]
    assert download["with"]["name"] in uploaded


@by_file
def test_the_page_speaks_of_every_file_and_results_are_kept_whatever_happened(path: Path) -> None:
    assert f"(workflows/{path.name})" in DOCS.joinpath("ci.md").read_text()
    text = path.read_text()
    if "pytest " in text and path in GITHUB:
        assert re.search(r"upload-artifact@v4\n +if: always\(\)\n +with:\n +name: modal_output\n", text)


def test_gitlab_keeps_junit_and_metrics() -> None:
    jobs = read(DOCS / "workflows" / "gitlab-ci.yml")
    for name in ("gpu", "replay"):
        artifacts = jobs[name]["artifacts"]
        assert artifacts["when"] == "always"
        assert artifacts["reports"] == {"junit": "report.xml", "metrics": "modal_output/metrics.txt"}
