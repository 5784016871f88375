"""``pytest-modal compare``: two files of per-item results, of whatever tool."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from gate_data import evaluation, recorded, write_baseline

from pytest_modal.cli.main import main
from pytest_modal.gate.judge.log_files import plain_name

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


def as_lm_eval(path: Path, results: Results, when: str = "2026-01-31T10-20-30.123456") -> None:
    """Write samples as lm-eval 0.4.13 does: a line for each filter and item."""
    lines = [
        {
            "doc_id": number,
            "doc": {"question": f"What is {each}?", "answer": "42", "subject": "ab"[number % 2]},
            "target": "42",
            "arguments": {"gen_args_0": {"arg_0": f"Q: What is {each}?\nA:", "arg_1": {"until": ["\n"]}}},
            "resps": [[f"{path.stem} says 42"]],
            "filtered_resps": ["42" if right else "forty\u2028two"],
            "filter": name,
            "metrics": ["exact_match", "f1"],
            "doc_hash": f"doc-{each}",
            "prompt_hash": f"{path.stem}-{each}",  # another chat template is another prompt for the same item
            "target_hash": "73475cb4",
            "exact_match": float(right) if name == "strict" else 0.0,
            "f1": 0.5,
        }
        for name in ("strict", "flexible")
        for number, (each, right) in enumerate(results)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.with_name(f"samples_{path.name}_{when}.jsonl").write_text(text)


def as_choices(path: Path, results: Results) -> None:
    """Write samples of multiple choice: each answer is a log-likelihood, and whether it is the greedy one."""
    lines = [
        {
            "doc_id": number,
            "doc": {"subject": "ab"[number % 2]},
            "arguments": {
                f"gen_args_{index}": {"arg_0": f"Q: What is {each}?\nA:", "arg_1": f" {choice}"}
                for index, choice in enumerate(("yes", "no"))
            },
            "filtered_resps": [["-0.5" if right else "-1.5", "False"], ["-1.0", "False"]],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"doc-{each}",
            "acc": float(right),
        }
        for number, (each, right) in enumerate(results)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.with_name(f"samples_{path.name}_2026-01-31T10-20-30.123456.jsonl").write_text(text)


def samples_of(path: Path, results: Results) -> list[dict[str, Any]]:
    """Return samples as inspect_ai 0.3.285 logs them: one for each item and epoch, with one score a scorer."""
    return [
        {
            "id": each,
            "epoch": epoch,
            "input": [{"id": f"{path.stem}{number}", "content": f"What is {each}?", "role": "user"}],
            "target": "42",
            "metadata": {"subject": "ab"[number % 2]},
            "scores": {
                "includes": {"value": "I", "answer": "42", "explanation": "It is 42", "history": []},
                "match": {"value": "C" if right else "I", "answer": "42" if right else "forty", "history": []},
            },
        }
        for epoch in (1, 2)
        for number, (each, right) in enumerate(results)
    ]


HEAD = {"version": 2, "status": "success", "results": {"headline": {"scorer": "match", "score": "match"}}}
TIME, NUMBER = "2026-01-31T10-20-30-00-00", "AKwKAPsk7hgdaj7Ct4qrsd"


def as_inspect(path: Path, results: Results) -> None:
    log = {**HEAD, "samples": samples_of(path, results)}
    path.with_name(f"{TIME}_{path.name}_{NUMBER}.json").write_text(json.dumps(log))


def as_inspect_archive(path: Path, results: Results) -> None:
    with zipfile.ZipFile(path.with_name(f"{TIME}_{path.name}_{NUMBER}.eval"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(HEAD))
        for sample in samples_of(path, results):
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))


def compare(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, list[str], str]:
    """Run the command; return its exit status, what it prints, and its errors."""
    status = main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_lm_eval, as_choices, as_inspect, as_inspect_archive])
def test_worse_results_of_every_kind_of_file_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Any
) -> None:
    for name, results in (("then", STEADY), ("same", STEADY), ("worse", WORSE), ("swapped", SWAPPED)):
        write(tmp_path / name, results)
    paths = {plain_name(path).removeprefix("samples_"): path for path in tmp_path.iterdir()}
    status, lines, _ = compare(capsys, paths["then"], paths["worse"])
    assert status == 1
    assert lines[1].split()[1:6] == ["200", "90.0%", "->", "80.0%,", "-10.0"]
    assert lines[1].split()[0] in ("worse", "samples_worse")
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
            as_lm_eval(tmp_path / directory / f"task{task}", results, when)
    as_csv(tmp_path / "now" / "alone", STEADY)
    status, lines, errors = compare(capsys, tmp_path / "then", tmp_path / "now")
    assert errors == "1 file in one directory only: alone\n"
    assert [line.split()[0] for line in lines[1:11]] == [f"samples_task{task}" for task in range(10)]
    assert not any("FAIL" in line for line in lines)
    assert lines[-1].startswith(
        "ACCURACY REGRESSION of all gates, though of no single one: 10 gates together  -0.8 points"
    )
    assert status == 1


def test_of_several_metrics_the_one_that_was_taken_is_named_and_another_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, results in (("then", STEADY), ("now", WORSE)):
        (tmp_path / name).mkdir()
        as_lm_eval(tmp_path / name / "gsm8k", results)
        as_inspect(tmp_path / name / "tiny", results)
    status, lines, _ = compare(capsys, tmp_path / "then", tmp_path / "now")
    assert status == 1
    assert "  compared: exact_match (also: f1), filter strict (also: flexible)" in lines
    assert "  compared: match (also: includes)" in lines
    assert any('"What is q020?"' in line and '"42" -> "forty' in line for line in lines)
    for name, metric in (("samples_gsm8k", "f1"), ("tiny", "includes")):
        one, two = (next((tmp_path / arm).glob(f"*{name}*")) for arm in ("then", "now"))
        status, lines, _ = compare(capsys, one, two, "--correct", metric)
        assert (status, lines[1].split()[0], lines[1].split()[-1]) == (0, name, "PASS")
        status, _, errors = compare(capsys, one, two, "--correct", "bleu")
        assert status == 2
        assert f"has no {'metric' if metric == 'f1' else 'score'} 'bleu', only " in errors


def test_other_items_under_the_same_ids_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("then", "What is 1?"), ("now", "What is 2?")):
        row = {"id": "q1", "input": text, "correct": True}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    status, _, errors = compare(capsys, tmp_path / "then.jsonl", tmp_path / "now.jsonl")
    assert status == 2
    assert errors.startswith("now: 1 item of 1 are not the same in both: 'q1'\n  where: ")


def test_results_of_two_models_in_one_directory_are_not_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in ("runs/small", "runs/large", "other"):
        (tmp_path / directory).mkdir(parents=True)
        as_lm_eval(tmp_path / directory / "gsm8k", STEADY)
    status, _, errors = compare(capsys, tmp_path / "runs", tmp_path / "other")
    assert status == 2
    assert "has results of samples_gsm8k in several directories" in errors
    assert compare(capsys, tmp_path / "runs" / "small", tmp_path / "other")[0] == 0


def test_an_archive_that_this_python_cannot_decompress_names_the_command_that_converts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_inspect_archive(tmp_path / "tiny", STEADY)
    (path,) = tmp_path.iterdir()
    archive = path.read_bytes()
    unknown, deflated = (99).to_bytes(2, "little"), (8).to_bytes(2, "little")
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        for begun in [found.start() for found in re.finditer(re.escape(signature), archive)]:
            assert archive[begun + place : begun + place + 2] == deflated
            archive = archive[: begun + place] + unknown + archive[begun + place + 2 :]
    path.write_bytes(archive)
    status, _, errors = compare(capsys, path, path)
    assert status == 2
    assert f"inspect log convert --to json --output-dir json {path}" in errors


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    as_csv(tmp_path / "then", STEADY)
    as_csv(tmp_path / "now", WORSE)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "pytest_modal.cli", "compare", tmp_path / "then.csv", tmp_path / "now.csv"]
    with os.fdopen(writer, "w") as closed:
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "")


def test_fields_of_a_csv_may_hold_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("then", "now"):
        rows = "".join(f'{number},"one\ntwo\u2028{name}",true\r\n' for number in range(20))
        (tmp_path / f"{name}.csv").write_text(f"\ufeffid,output,correct\r\n{rows}", encoding="utf-8", newline="")
    assert compare(capsys, tmp_path / "then.csv", tmp_path / "now.csv")[0] == 0


def test_items_of_one_file_only_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_csv(tmp_path / "then", STEADY)
    as_csv(tmp_path / "now", STEADY[5:])
    status, lines, _ = compare(capsys, tmp_path / "then.csv", tmp_path / "now.csv")
    assert (status, lines[-1]) == (0, "  5 items in one only, not compared")


def test_results_of_one_round_are_compared_with_those_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then = evaluation([int(right) for _, right in STEADY])
    as_csv(tmp_path / "then", [(each, bool(right)) for each, right in zip(then.ids, then.sums, strict=True)])
    write_baseline(tmp_path / "now.jsonl", recorded(evaluation([5 * right for _, right in WORSE], 5)))
    status, lines, _ = compare(capsys, tmp_path / "then.csv", tmp_path / "now.jsonl")
    assert status == 1
    assert lines[1].endswith("FAIL")


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
        ("a.csv", "id,correct\n1,perhaps\n", "has 'perhaps' as 'correct' of item '1', which is no share in [0, 1]"),
        ("a.csv", "id,correct\n1,73.5\n", "has 73.5 as 'correct' of item '1', which is no share in [0, 1]"),
        ("a.csv", "id,correct\n1,\n2,1\n", "a.csv has no 'correct' for 1 of 2 items: '1'"),
        ("a.csv", "id,correct\n1,1\n1,1\n", "a.csv: 1 duplicate id: '1'"),
        (
            "a.jsonl",
            '{"id": 1, "input": "x", "correct": {"f1": 1}}\n',
            "has several values as 'correct' of item 1: 'f1'",
        ),
        ("a.eval", "PK", "a.eval can't be read: File is not a zip file"),
        ("a.json", '{"samples": [{"id": 1, "epoch": 1, "scores": {}}]}', "a.json has no scores"),
        ("a.jsonl", "[1]\n", "a.jsonl has a line that is not a JSON object"),
        ("a.jsonl", '{"doc_id": 1, "bleu": 3}\n', "a.jsonl has no metric that is known"),
        ("a.json", "{}", "a.json has no samples"),
        ("a.pkl", "", "a.pkl is of no known kind"),
        ("a.csv", "id,correct\nother,1\n", "has no item in both"),
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


@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "nothing"])
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.eval"])
def test_what_is_no_file_of_data_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, what: str
) -> None:
    path = tmp_path / name
    if what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(what if what.startswith("/") else "missing")
    as_csv(tmp_path / "now", STEADY)
    status, _, errors = compare(capsys, path, tmp_path / "now.csv")
    assert status == 2
    why = "No such file or directory" if what == "nothing" else "it is not a regular file"
    assert errors.startswith(f"{name} can't be read: {why}\n  where: {path}\n  what to do: ")


def test_an_archive_that_claims_to_be_huge_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"samples/{number}.json", "w") as member:
                for _ in range(48):
                    member.write(bytes(1 << 24))
    as_csv(tmp_path / "now", STEADY)
    status, _, errors = compare(capsys, path, tmp_path / "now.csv")
    assert status == 2
    assert errors.startswith("a.eval can't be read: it is larger than 2,048 MiB, unpacked\n")


def test_what_is_missing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_csv(tmp_path / "now", STEADY)
    (tmp_path / "empty").mkdir()
    for one, by in (("nothing.csv", ()), ("empty", ()), ("now.csv", ("--by", "colour"))):
        status, _, errors = compare(capsys, tmp_path / one, tmp_path / "now.csv", *by)
        assert status == 2
        assert "what to do: " in errors
