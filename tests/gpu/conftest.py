"""Checks on a real GPU, in local mode: skipped where there is none, and runnable without the rest of the tests.

`tests/gpu/run` runs them on a machine that has pytest and torch, and where nothing of this project is installed.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Ordinary users' suites, which `test_gpu_suite.py` and `test_gpu_own_code.py` run.
collect_ignore = ["suite", "own_code"]
# A developer's own settings must not decide what a suite does.
SETTINGS = ("PYTEST_", "MODAL_", "EXAMPLE_", "COV_CORE_", "COVERAGE_")


def has_gpu() -> bool:
    """Whether there is a GPU, and a torch that is built for one.

    The file system tells, for importing torch would take seconds in every process of pytest. A GPU that is there and
    can't be used fails the tests: it does not skip them.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    devices = Path("/dev")
    if not any(devices.glob("nvidia[0-9]*")) and not (devices / "dxg").exists():  # the latter on Windows' Linux
        return False
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    return runpy.run_path(str(Path(torch.origin).with_name("version.py"))).get("cuda") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.is_relative_to(HERE)]
    if here and not has_gpu():
        for item in here:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


@dataclass(frozen=True)
class Report:
    """What became of one test: "passed", "failed", "error" or "skipped", and what its report says."""

    module: str
    outcome: str
    text: str


@dataclass
class Run:
    """A run of pytest.

    Attributes
    ----------
    status : int
        Its exit status.
    output : str
        Everything that it printed.
    reports : dict of str to Report
        By name of the test.
    files : Path
        The output directory.
    """

    status: int
    output: str
    reports: Mapping[str, Report]
    files: Path
    is_shown: bool = False

    def output_once(self) -> str:
        """Return the output, for the message of the first test that fails: the others need not repeat it."""
        output = "(the output is above)" if self.is_shown else self.output
        self.is_shown = True
        return output

    def outcome(self, test: str) -> str:
        """Return what became of a test."""
        return self.reports[test].outcome if test in self.reports else "missing"


@pytest.fixture(scope="session")
def run_pytest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """``run_pytest(suite, timeout=..., env=...)`` runs pytest on a copy of a directory, or on the text of a test file.

    The process sees neither this project's ini nor its conftest.py.
    """

    def run(suite: Path | str, *, timeout: float = 150, env: Mapping[str, str] | None = None) -> Run:
        scratch = tmp_path_factory.mktemp("run")
        copy, files, log, xml = (scratch / name for name in ("suite", "files", "log", "junit.xml"))
        if isinstance(suite, str):
            copy.mkdir()
            (copy / "test_it.py").write_text(suite, encoding="utf-8")
        else:
            ignored = shutil.ignore_patterns("modal_output", "__pycache__", ".*")
            shutil.copytree(suite, copy, ignore=ignored)
        command = [sys.executable, "-m", "pytest", "-v", "-ra", "-p", "pytest_modal.plugin", "-p", "no:cacheprovider"]
        command += [f"--rootdir={copy}", f"--modal-output-dir={files}", f"--junitxml={xml}", str(copy)]
        status: int | None
        with log.open("w") as stream:
            try:
                status = subprocess.run(
                    command,
                    cwd=copy,
                    env=_environment() | dict(env or {}),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                ).returncode
            except subprocess.TimeoutExpired:
                status = None
        output = log.read_text(errors="replace")
        if status is None or not xml.exists():
            ended = (
                f"did not end within {timeout:g} s" if status is None else f"ended with {status} and wrote no report"
            )
            pytest.fail(f"pytest {ended}:\n{output}", pytrace=False)
        return Run(status, output, _read_reports(xml), files)

    return run


def _environment() -> dict[str, str]:
    """Return the environment of a run: this project on the path, and nothing that changes what a suite does."""
    inherited = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith(SETTINGS)}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Where the plugin is installed, pytest would register it a second time.
    return inherited | {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _read_reports(path: Path) -> dict[str, Report]:
    reports = {}
    for case in ElementTree.parse(path).iter("testcase"):
        problem = next((child for child in case if child.tag in ("error", "failure", "skipped")), None)
        outcome = "passed" if problem is None else problem.tag.replace("failure", "failed")
        text = "" if problem is None else problem.text or problem.get("message", "")
        reports[case.get("name", "")] = Report(case.get("classname", ""), outcome, text)
    return reports
