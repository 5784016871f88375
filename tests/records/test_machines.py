"""What a container says of its machine: once, and without anything that a call did not do itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pretended_gpu import install
from recorded import run_json

from pytest_modal.batch.outcomes import Load, Outcome
from pytest_modal.remote.framing import write_message
from pytest_modal.store.outcome_file import read_header, read_outcome, write_outcome

SUITE = """
    import pytest_modal

    @pytest_modal.fixture(gpu="T4")
    def plain():
        return 1

    @pytest_modal.fixture(gpu="T4")
    def with_torch(plain):
        import sys, types
        version = types.SimpleNamespace(cuda="13.0")
        sys.modules["torch"] = types.SimpleNamespace(__version__="2.13.0+cu130", version=version)
        return plain

    @pytest_modal.fixture(gpu="T4")
    def after(with_torch):
        return with_torch

    def test_it(plain, with_torch, after): pass
"""


@pytest.mark.parametrize(
    ("answer", "machine"),
    [
        ("NVIDIA H100, 580.95.05, 81559", ("NVIDIA H100", "580.95.05", 81559 << 20)),
        ("Tesla T4, 550.54, [N/A]", ("Tesla T4", "550.54", None)),
        ("Tesla T4", ("Tesla T4", "", None)),
        ("Tesla T4, 550.54, 15360\nTesla T4, 550.54, 15360", ("Tesla T4", "550.54", 15 << 30)),
    ],
    ids=["H100", "without memory", "name only", "two"],
)
def test_the_driver_is_asked_once_and_torch_is_named_once_a_call_has_it(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: str,
    machine: tuple[str, str, int | None],
) -> None:
    asked = tmp_path / "asked"
    install(tmp_path / "bin", monkeypatch, f"{answer}'; echo x >> '{asked}")
    pytester.makeini("[pytest]\nmodal_local_isolation = off\n")
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest_subprocess(timeout=60).assert_outcomes(passed=1)
    record = run_json(pytester)
    assert [call["status"] for call in record["calls"]] == ["ok"] * 3
    (container,) = record["containers"]
    found = container["machine"]
    assert (found["gpu"], found["driver"], found["memory"]) == machine
    assert (found["torch"], found["cuda"]) == ("2.13.0+cu130", "13.0")
    assert asked.read_text() == "x\n"


def test_an_outcome_of_an_earlier_version_can_still_be_read(tmp_path: Path) -> None:
    outcome = Outcome("key", "ok", seconds=1.5, loads=(Load("k", "model", "c", 2.0),), lost_files=("a",))
    fields = dataclasses.asdict(outcome) | {"loads": [dataclasses.asdict(outcome.loads[0])], "lost_files": ["a"]}
    fields |= {"warnings": [], "fallen": []}
    path = tmp_path / "key"
    write_outcome(path, outcome, [])
    assert read_header(path) == fields
    for name in ("started", "machine"):
        del fields[name]
    del fields["loads"][0]["started"]
    with path.open("wb") as stream:
        write_message(stream, fields)
        stream.write(bytes(20))  # the digest
    assert read_outcome(path) == outcome
