"""Suites as they are written in the field: each runs here and on Modal, with equal outcomes and equal data.

Each folder is a project. On Modal its files are hidden from the containers, where the machine permits that.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from loopback_modal import LoopbackModal
from suite_run import files_of_tests

from pytest_modal.checks.cli import main as check

SUITES = Path(__file__).parent


@dataclass(frozen=True)
class Expected:
    """What a suite is known to do.

    Attributes
    ----------
    passed : int
        How many tests it has; all of them pass.
    artifacts : set of str
        Names of the files that it writes.
    containers : dict
        How many containers each Function has on Modal.
    uploads : set of str
        Files that are uploaded; everything else of the project stays here.
    """

    passed: int
    artifacts: set[str]
    containers: dict[str, int] = field(default_factory=lambda: {"T4.*": 1})
    uploads: set[str] = field(default_factory=set)


LIBRARY = ("__init__.py", "chunks.json", "loss.py", "norm.py", "swiglu.py")
EXPECTED = {
    "kernels": Expected(
        17, {"errors.csv"}, {"T4.*": 1, "T4__2.*": 1}, {f"/root/tinykernels/{name}" for name in LIBRARY}
    ),
    "training": Expected(3, {"losses.csv", "losses.png", "resumed.csv"}),
    "multiple_choice": Expected(4, {"answers.csv", "margins.csv", "margins.png"}),
    "code_judge": Expected(5, {"pass_at_k.csv", "verdicts.csv"}),
    "batch_inference": Expected(3, {"neighbours.csv"}, {"T4.*": 4}),
}


def outcomes(report: Path) -> dict[str, str]:
    """Return what became of each test, from a JUnit report."""
    cases = ElementTree.parse(report).iter("testcase")
    found = {}
    for case in cases:
        tags = [each.tag for each in case if each.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}.{case.get('name')}"] = " ".join(tags) or "passed"
    return found


def data(directory: Path) -> dict[str, Any]:
    """Return the tables that a run wrote by path; of figures only that they are there."""
    files = [path for path in files_of_tests(directory) if "/" in path]
    return {path: pd.read_csv(directory / path) if path.endswith(".csv") else None for path in files}


def test_every_suite_is_run() -> None:
    assert {path.name for path in SUITES.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_both_modes_give_the_same(
    name: str, pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, project = EXPECTED[name], pytester.path / name
    left = shutil.ignore_patterns("modal_output", "__pycache__", ".pytest_cache")
    shutil.copytree(SUITES / name, project, ignore=left)
    monkeypatch.chdir(project)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in a container, whose sums are then added up in the same order
    found: dict[str, dict[str, str]] = {}
    written: dict[str, dict[str, Any]] = {}
    for mode in ("local", "modal"):
        report, output = pytester.path / f"{mode}.xml", pytester.path / mode
        arguments = (
            "-p",
            "no:randomly",
            f"--modal-mode={mode}",
            f"--modal-output-dir={output}",
            f"--junitxml={report}",
        )
        pytester.runpytest_subprocess("--rootdir", str(project), *arguments, timeout=150)
        found[mode], written[mode] = outcomes(report), data(output)
    assert Counter(found["local"].values()) == {"passed": expected.passed}
    assert found["modal"] == found["local"]
    assert {Path(path).name for path in written["local"]} == expected.artifacts
    assert list(written["modal"]) == list(written["local"])
    for path, table in written["local"].items():
        if table is not None:
            pd.testing.assert_frame_equal(written["modal"][path], table)
    facts = modal_server.facts()
    assert len(facts["apps"]) == 1
    assert Counter(container["function_name"] for container in facts["containers"]) == expected.containers
    assert {file["path"] for mount in facts["mounts"] for file in mount["files"]} == expected.uploads


@pytest.mark.parametrize("name", EXPECTED)
def test_the_rules_find_nothing(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(["check", str(SUITES / name), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
