"""``pytest-modal compare``: two files of per-item results, of whatever tool."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from gate_data import evaluation, recorded, write_baseline

from pytest_modal.cli.main import main

Results = list[tuple[str, bool]]
STEADY: Results = [(f"q{number:03}", number >= 20) for number in range(200)]
WORSE: Results = [(each, right and number >= 40) for number, (each, right) in enumerate(STEADY)]
SWAPPED: Results = [(each, number >= 40 or number < 20) for number, (each, _) in enumerate(STEADY)]


def as_csv(path: Path, results: Results) -> None:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "correct", "subject"])
        writer.writerows([each, right, "ab"[number % 2]] for number, (each, right) in enumerate(results))


def as_jsonl(path: Path, results: Results) -> None:
    rows = [{"id": each, "correct": right, "subject": "ab"[n % 2]} for n, (each, right) in enumerate(results)]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_lm_eval(path: Path, results: Results) -> None:
    lines = [
        {
            "doc_id": number,
            "doc": {"question": each, "subject": "ab"[number % 2]},
            "filtered_resps": ["42"],
            "filter": name,
            "metrics": ["exact_match"],
            "exact_match": float(right) if name == "strict" else 0.0,
            "prompt_hash": each,
        }
        for name in ("strict", "flexible")
        for number, (each, right) in enumerate(results)
    ]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def as_inspect(path: Path, results: Results) -> None:
    samples = [
        {
            "id": each,
            "epoch": epoch,
            "input": each,
            "metadata": {"subject": "ab"[number % 2]},
            "scores": {"match": {"value": "C" if right else "I", "answer": "42"}},
        }
        for epoch in (1, 2)
        for number, (each, right) in enumerate(results)
    ]
    path.with_suffix(".json").write_text(json.dumps({"version": 2, "samples": samples}))


def compare(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, list[str], str]:
    """Run the command; return its exit status, what it prints, and its errors."""
    status = main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_lm_eval, as_inspect])
def test_worse_results_of_every_kind_of_file_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Any
) -> None:
    for name, results in (("then", STEADY), ("same", STEADY), ("worse", WORSE), ("swapped", SWAPPED)):
        write(tmp_path / name, results)
    paths = {path.stem: path for path in tmp_path.iterdir()}
    status, lines, _ = compare(capsys, paths["then"], paths["worse"])
    assert status == 1
    assert lines[1].startswith("worse  200    90.0% -> 80.0%, -10.0 points [")
    assert lines[1].split()[-4:-2] == ["20", "0"]
    assert lines[1].endswith("FAIL")
    assert any(line.endswith("... 15 more") for line in lines)
    assert compare(capsys, paths["then"], paths["same"])[0] == 0
    status, lines, _ = compare(capsys, paths["then"], paths["swapped"])
    assert (status, lines[1].split()[-4:-2]) == (0, ["20", "20"])
    _, lines, _ = compare(capsys, paths["then"], paths["worse"], "--by", "subject")
    assert [line.split()[:2] for line in lines if line.startswith(("  a ", "  b "))] == [["a", "100"], ["b", "100"]]


def test_a_baseline_is_compared_in_all_of_its_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, failing in (("then", 0), ("now", 8)):
        sums = [0] * failing + [5] * (150 - failing) + [0] * 50
        write_baseline(tmp_path / name / "gsm8k.jsonl", recorded(evaluation(sums, 5)))
    status, lines, _ = compare(capsys, tmp_path / "then" / "gsm8k.jsonl", tmp_path / "now" / "gsm8k.jsonl")
    assert status == 1
    assert any(line.split()[:3] == ["gsm8k/0000", "5/5", "0/5"] for line in lines)


def test_directories_are_paired_by_name_and_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for directory, lost in (("then", 0), ("now", 3)):
        (tmp_path / directory).mkdir()
        for task in range(10):
            results = [(f"q{number:03}", number >= lost) for number in range(400)]
            when = "2026-01-31T10-20-30.123" if directory == "then" else "2026-02-28T11-00-00"
            as_lm_eval(tmp_path / directory / f"samples_task{task}_{when}.x", results)
    as_csv(tmp_path / "now" / "alone", STEADY)
    status, lines, errors = compare(capsys, tmp_path / "then", tmp_path / "now")
    assert errors == "1 file in one directory only: alone\n"
    assert [line.split()[0] for line in lines[1:11]] == [f"samples_task{task}" for task in range(10)]
    assert not any("FAIL" in line for line in lines)
    assert lines[-1].startswith(
        "ACCURACY REGRESSION of all gates, though of no single one: 10 gates together  -0.8 points"
    )
    assert status == 1


def test_items_of_one_file_only_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_csv(tmp_path / "then", STEADY)
    as_csv(tmp_path / "now", STEADY[5:])
    status, lines, _ = compare(capsys, tmp_path / "then.csv", tmp_path / "now.csv")
    assert (status, lines[-1]) == (0, "  5 items in one file only, not compared")


def test_it_is_one_command_beside_those_about_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PM101"]) == 0
    assert "PM101" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"    {command}" in shown for command in ("check", "explain", "compare"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,right\n1,1\n", "a.csv has no column 'correct', only 'id', 'right'"),
        ("a.csv", "id,correct\n1,perhaps\n", "'correct' is neither a bool nor a number for '1': 'perhaps'"),
        ("a.jsonl", "[1]\n", "a.jsonl has a line that is not a JSON object"),
        ("a.jsonl", '{"doc_id": 1, "bleu": 3}\n', "a.jsonl has no metric that is known"),
        ("a.json", "{}", "a.json has no samples"),
        ("a.pkl", "", "a.pkl is of no known kind"),
        ("a.csv", "id,correct\nother,1\n", "has no item in both files"),
    ],
)
def test_files_that_make_no_sense_are_errors_in_three_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    as_csv(tmp_path / "now", STEADY)
    status, lines, errors = compare(capsys, tmp_path / name, tmp_path / "now.csv")
    assert (status, lines) == (2, [])
    assert message in errors
    assert "\n  where: " in errors
    assert "\n  what to do: " in errors


def test_what_is_missing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_csv(tmp_path / "now", STEADY)
    (tmp_path / "empty").mkdir()
    for one, by in (("nothing.csv", ()), ("empty", ()), ("now.csv", ("--by", "colour"))):
        status, _, errors = compare(capsys, tmp_path / one, tmp_path / "now.csv", *by)
        assert status == 2
        assert "what to do: " in errors
