"""Records of runs as tests read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import run_schema
import scipy.stats  # noqa: F401 - pytester forgets what an inner run has imported, and it can't be loaded twice

SUITE = """
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container", gpu="T4")
    def model():
        print("loading")
        return 2

    @pytest_modal.fixture
    def doubled(model):
        print("doubling")
        return [model * n for n in range(3)]

    @pytest_modal.fixture(gpu="H100")
    def broken():
        raise ZeroDivisionError("by zero")

    def test_doubled(doubled, save_json):
        save_json("doubled.json", doubled)
        assert doubled == [0, 2, 4]

    def test_wrong(doubled):
        print("about to fail")
        assert doubled == [1]

    def test_broken(broken): pass

    @pytest.mark.skip(reason="not today")
    def test_skipped(doubled): pass

    @pytest.mark.xfail(reason="known")
    def test_known(doubled): assert not doubled

    def test_gate(accuracy_gate):
        accuracy_gate("even", [{"id": n, "correct": True, "output": "yes"} for n in range(50)])

    def test_plain(): pass
"""


def run_json(pytester: pytest.Pytester, root: str = "modal_output") -> Any:
    """Return the record of the last run, which is what the schema says."""
    return valid(pytester.path / root / "run.json")


def valid(path: Path) -> Any:
    """Return a record, which is what the schema says."""
    record = json.loads(path.read_bytes().decode("utf-8"))
    jsonschema.Draft202012Validator(run_schema.schema()).validate(record)
    return record


def runs(pytester: pytest.Pytester) -> list[str]:
    """Return the ids of the runs that are kept, the oldest first."""
    return sorted(path.stem for path in (pytester.path / "modal_output/runs").glob("*.json"))


def by_name(record: Any) -> dict[str, Any]:
    """Return the tests of a record by name."""
    return {each["nodeid"].rpartition("::")[2]: each for each in record["tests"]}
