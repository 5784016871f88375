"""Packages that a process does not find although they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from faked_installs import install

CODE = """
    import importlib, importlib.metadata, importlib.util, sys
    from importlib.machinery import PathFinder
    from pytest_modal.remote.hidden import HiddenPackages

    HiddenPackages(["google.cloud", "lone"], ["protobuf"]).hide()
    assert PathFinder in sys.meta_path, "typeguard and jaxtyping look for it"

    import google.protobuf.message
    for name in ("google.cloud", "google.cloud.storage", "lone"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            assert error.name in ("google.cloud", "lone")
        else:
            raise AssertionError(name)
    assert importlib.util.find_spec("google.cloud") is PathFinder.find_spec("lone") is None

    assert importlib.metadata.version("Protobuf") == "1.0"
    assert {each.name for each in importlib.metadata.distributions()} == {"protobuf"}
    assert set(importlib.metadata.packages_distributions()["google"]) == {"protobuf"}
    assert "lone" not in importlib.metadata.packages_distributions()
    for name in ("google-cloud-storage", "Google.Cloud_Storage", "lone"):
        try:
            raise AssertionError(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            pass
"""


def test_parts_of_a_namespace_are_hidden_and_finders_stay_what_they_are(tmp_path: Path) -> None:
    install(tmp_path, "protobuf", "1.0", "google/protobuf/__init__.py", "google/protobuf/message.py")
    install(tmp_path, "google-cloud-storage", "1.0", "google/cloud/storage/__init__.py")
    install(tmp_path, "lone", "1.0", "lone.py")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(CODE)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
