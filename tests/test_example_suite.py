"""The example suite on a real model: in local mode, and on Modal with the same CSVs."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from loopback_modal import LoopbackModal

EXAMPLE = Path(__file__).parent.parent / "example_suite"
TIMES = ["time", "seconds", "seconds_per_problem", "ms_per_problem"]


def tables(directory: Path) -> dict[str, pd.DataFrame]:
    """Return the CSVs of a run by path, without what a clock said."""
    found = {}
    for path in sorted(directory.rglob("*.csv")):
        if path.name != "timing.csv":
            found[path.relative_to(directory).as_posix()] = pd.read_csv(path).drop(columns=TIMES, errors="ignore")
    return found


def test_modal_gives_the_csvs_of_local_mode_from_one_load_a_model(
    pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    suite = pytester.path / "example_suite"
    shutil.copytree(EXAMPLE, suite, ignore=shutil.ignore_patterns("modal_output", "__pycache__", ".pytest_cache"))
    for mode in ("local", "modal"):
        arguments = (f"--modal-mode={mode}", f"--modal-output-dir={pytester.path / mode}", str(suite))
        result = pytester.runpytest_subprocess("--rootdir", str(suite), *arguments, timeout=240)
        result.assert_outcomes(passed=15, skipped=1)
    local, modal = tables(pytester.path / "local"), tables(pytester.path / "modal")
    assert len(local) >= 5
    assert list(local) == list(modal)
    for path, table in local.items():
        pd.testing.assert_frame_equal(table, modal[path])
    facts = modal_server.facts()
    assert len(facts["apps"]) == 1
    assert Counter(container["function_name"] for container in facts["containers"]) == {"T4.*": 1}
    assert all(item["status"] == "success" for item in facts["inputs"])
    loads = [entry for entry in facts["apps"][0]["log"] if re.match(r"\[pytest-modal \w+\] load ", entry["message"])]
    assert len(loads) == 2, "the model, and the one with rounded weights"
    uploaded = [file["path"] for mount in facts["mounts"] for file in mount["files"]]
    assert uploaded == []
