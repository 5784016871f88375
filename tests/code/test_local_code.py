"""The project's own code: below the rootdir, by whatever path, less what is installed or Python's."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import pytest

from pytest_modal.code.local_code import is_local


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("helpers.py", True),
        ("src/package/module.py", True),
        (".venv/lib/python3.11/site-packages/torch/nn.py", False),
        ("env/lib/python3/dist-packages/yaml.py", False),
        ("../beside.py", False),
    ],
)
def test_what_lies_below_the_rootdir_is_local_unless_it_is_installed(tmp_path: Path, path: str, own: bool) -> None:
    assert is_local(tmp_path / "project" / path, tmp_path / "project") is own


def test_a_project_that_is_entered_through_a_link_is_the_same_project(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert is_local(tmp_path / "link/helpers.py", tmp_path / "real")
    assert is_local(tmp_path / "real/helpers.py", tmp_path / "link")


@pytest.mark.parametrize("module", [json, os])
def test_the_standard_library_is_never_local(module: object) -> None:
    assert not is_local(str(vars(module)["__file__"]), Path("/"))
    # The interpreter of an environment in the project has its library there.
    assert not is_local(
        Path(sysconfig.get_path("stdlib"), "json/decoder.py"), Path(sysconfig.get_path("stdlib")).parent
    )
