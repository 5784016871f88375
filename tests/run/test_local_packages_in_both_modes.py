"""Packages that travel as they are behave in a container as in the project: the same suite, here and on Modal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loopback_modal import LoopbackModal
from packaged_project import COMPILER, SUITE, write_project
from suite_run import run_suite, section

TESTS = re.findall(r"def (test_\w+)", SUITE)


@dataclass(frozen=True)
class Run:
    """The run of the suite in one mode."""

    directory: Path
    result: pytest.RunResult
    facts: dict[str, Any]

    @property
    def recorded(self) -> str:
        """What the distribution of the package lists as its files, in the container."""
        (path,) = self.directory.glob("modal_output/**/files.json")
        return path.read_text()


def run_in(directory: Path, environment: dict[str, str], mode: str) -> pytest.RunResult:
    write_project(directory)
    arguments = (f"--modal-mode={mode}", "-rA", "--tb=short")
    return run_suite(directory, {"test_it.py": SUITE}, *arguments, env=environment, timeout=150)


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> Run:
    directory = tmp_path_factory.mktemp("local")
    return Run(directory, run_in(directory, plain_environment, "local"), {})


@pytest.fixture(scope="module")
def modal_run(
    tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str], loopback: LoopbackModal
) -> Run:
    directory = tmp_path_factory.mktemp("modal")
    with loopback.fresh():
        result = run_in(directory, {**plain_environment, **loopback.env}, "modal")
        return Run(directory, result, loopback.facts())


@pytest.fixture(params=["local", "modal"])
def run(request: pytest.FixtureRequest) -> Run:
    """The run in one mode and then in the other, each made once."""
    found: Run = request.getfixturevalue(f"{request.param}_run")
    return found


@pytest.mark.parametrize("test", [name for name in TESTS if name != "test_typo"])
def test_what_works_here_works_in_a_container(run: Run, test: str) -> None:
    if test == "test_c_extension" and COMPILER is None:
        pytest.skip("there is no compiler")
    assert f"PASSED test_it.py::{test}" in run.result.outlines


def test_a_typo_is_an_error_of_its_test_alone(run: Run) -> None:
    run.result.assert_outcomes(passed=len(TESTS) - 1, errors=1)
    assert section(run.result, "ERROR at setup of test_typo") == [
        "the local package 'kti' can't be imported on this machine",
        "  where: local_packages= of test_it.py::test_typo",
        "  what to do: did you mean 'kit'?",
    ]


def test_the_same_files_arrive_in_both_modes(local_run: Run, modal_run: Run) -> None:
    assert local_run.recorded == modal_run.recorded


def test_what_is_uploaded_is_what_travels(modal_run: Run) -> None:
    uploaded = [sorted(file["path"] for file in mount["files"]) for mount in modal_run.facts["mounts"]]
    (kit,) = [paths for paths in uploaded if "/root/kit/__init__.py" in paths]
    info = "/root/kit_proj-1.2.dev3+gabc.dist-info"
    assert [path for path in kit if path.startswith(info)] == [
        f"{info}/{name}" for name in ("METADATA", "RECORD", "entry_points.txt")
    ]
    assert not [path for path in kit if "token" in path or "__pycache__" in path]
    (part,) = [paths for paths in uploaded if "/root/large/kernels/grid.py" in paths]
    assert [path for path in part if "/large/" in path] == [
        f"/root/large/kernels/{name}" for name in ("__init__.py", "cells.txt", "grid.py")
    ]


def test_what_the_distribution_requires_is_installed_and_pinned(modal_run: Run) -> None:
    commands = [command for image in modal_run.facts["images"] for command in image["commands"]]
    installed = [command for command in commands if "pip install --python" in command]
    assert installed != []
    assert all(re.search(r" numpy==\S+$", command) for command in installed), "neither extras nor pytest"


def test_an_unchanged_package_is_not_uploaded_again_from_another_checkout(
    plain_environment: dict[str, str], loopback: LoopbackModal, tmp_path: Path
) -> None:
    with loopback.fresh():
        counts = []
        for name in ("one", "two"):
            write_project(tmp_path / name)
            environment = {**plain_environment, **loopback.env}
            suite = {"test_it.py": SUITE}
            run_suite(tmp_path / name, suite, "--modal", "-k", "data_file", env=environment).assert_outcomes(passed=1)
            counts.append(loopback.facts()["rpcs"].get("MountPutFile", 0))
        assert counts[0] > 0
        assert counts[1] == counts[0]
