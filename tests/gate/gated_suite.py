"""A suite with a gate, whose answers a file decides: what the stories about gates are told with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

import pytest_modal.gate.fixture  # noqa: F401 - with numpy and scipy, which can't be imported again by each inner run

SUITE = """
    import json
    import pathlib

    import pytest
    import pytest_modal


    @pytest.fixture(scope="session")
    def questions():
        return json.loads(pathlib.Path(__file__).with_name("questions.json").read_text())


    @pytest_modal.fixture
    def answers(questions):
        return [
            {"id": each["id"], "input": each["id"] + "?", "output": each["output"], "correct": each["output"] == "42"}
            for each in questions
        ]


    def test_accuracy(answers, accuracy_gate):
        accuracy_gate("toy", answers)
"""


def ask(pytester: pytest.Pytester, n: int = 200, wrong: Iterable[int] = (), ids: Iterable[str] | None = None) -> None:
    """Have `n` questions answered, some of them `wrong`."""
    missed = set(wrong)
    names = [f"q{number:03}" for number in range(n)] if ids is None else list(ids)
    rows = [{"id": each, "output": "forty" if number in missed else "42"} for number, each in enumerate(names)]
    (pytester.path / "questions.json").write_text(json.dumps(rows))


def edit(pytester: pytest.Pytester, old: str, new: str) -> None:
    """Change the suite."""
    path = pytester.path / "test_it.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """Run the suite in order, and let warnings be what they are."""
    return pytester.runpytest("-p", "no:randomly", "-W", "default", *args)


def record(pytester: pytest.Pytester, *args: str) -> None:
    """Record the baselines."""
    result = run(pytester, "--modal-update-baselines", *args)
    assert result.ret == 0, result.stdout.str()


def baseline(pytester: pytest.Pytester, gate: str = "toy") -> Path:
    """Return the file of a baseline."""
    return pytester.path / "baselines" / f"{gate}.jsonl"


def head(pytester: pytest.Pytester, kind: str, gate: str = "toy") -> list[dict[str, Any]]:
    """Return the lines of one kind in a baseline: "schema", "anchor", "round" or "history"."""
    lines = map(json.loads, baseline(pytester, gate).read_text().splitlines())
    return [line for line in lines if next(iter(line)) == kind]


def rounds_of(pytester: pytest.Pytester, gate: str = "toy") -> list[dict[str, Any]]:
    """Return the rounds of a baseline."""
    return head(pytester, "round", gate)


def history(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    """Return the history of a baseline."""
    return head(pytester, "history")


def anchor(pytester: pytest.Pytester, gate: str = "toy") -> dict[str, Any]:
    """Return the anchor of a baseline."""
    return head(pytester, "anchor", gate)[0]


def gates(pytester: pytest.Pytester) -> Mapping[str, Mapping[str, Any]]:
    """Return what the last run's record says, by gate."""
    record = json.loads((pytester.path / "modal_output" / "gates.json").read_text())
    return {each["gate"]: each for each in record["gates"]}
