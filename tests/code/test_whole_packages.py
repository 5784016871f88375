"""Functions and classes of public packages, taken as the project's own code, arrive each alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import whole_packages

# About 600 names. What else is installed can be tried by `python tests/code/whole_packages.py NAME ...`.
STANDARD = ["json", "argparse", "dataclasses", "textwrap", "difflib", "statistics", "configparser", "html"]
INSTALLED = ["packaging", "idna", "certifi", "attr", "click", "pyparsing", "sortedcontainers"]


@pytest.mark.skipif(sys.platform == "win32", reason="forks a process for each function")
@pytest.mark.parametrize(
    "packages",
    [
        pytest.param(STANDARD, id="standard library"),
        pytest.param(INSTALLED, id="installed"),
    ],
)
def test_each_function_and_class_of_a_package_arrives_alone(packages: list[str], tmp_path: Path) -> None:
    for each in packages:
        pytest.importorskip(each)
    found = whole_packages.tried(packages, tmp_path)
    print(whole_packages.table(found))
    assert all(found.values())
    assert {name: why for names in found.values() for name, why in names.items() if why} == {}
