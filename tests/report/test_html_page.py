"""The page of a run, as text: what it shows of a record, and what it says where something can't be shown."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sample_record import REMOTE_ERROR, START, earlier_record, sample_record

from pytest_modal.report.differences import differences_between
from pytest_modal.report.html.differences import shown_differences
from pytest_modal.report.html.page import render_page, write_page
from pytest_modal.report.html.spending import spending_of
from pytest_modal.report.html.tables import preview
from pytest_modal.report.html.text import TAIL
from pytest_modal.report.html.timeline import timeline_of
from pytest_modal.report.record import Record

CALIBRATION = "evals/test_calibration.py::test_calibration_error_is_small"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """The output root with the files of the sample, and its record."""
    root = tmp_path_factory.mktemp("output")
    return root, sample_record(root)


@pytest.fixture
def root(files: tuple[Path, Record]) -> Path:
    return files[0]


@pytest.fixture
def record(files: tuple[Path, Record]) -> Record:
    """A record that a test may change."""
    return copy.deepcopy(files[1])


def page(record: Record, root: Path, previous: Record | None = None) -> str:
    return "".join(render_page(record, previous, root, root))


def text_of(html: str) -> str:
    """Return what can be read of a page."""
    body = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def add_file(record: Record, root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    record["artifacts"].append(
        {"path": name, "test": CALIBRATION, "kind": "file", "bytes": len(content), "sha256": digest}
    )


# The head, and what failed.


def test_the_head_says_what_ran_where_and_how_it_ended(record: Record, root: Path) -> None:
    text = text_of(page(record, root))
    for said in (
        "5 of 46 tests failed",
        "failed 3",
        "error 2",
        "passed 37",
        "18 November 2026, 11:26 UTC",
        "9f3c2ab71d on longer-prompts, with uncommitted changes",
        "NVIDIA H100 80GB HBM3, NVIDIA A10",
        "about $0.16",
        "pytest --modal evals/ -k 'not slow'",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"outcomes": {"passed": 4}, "exit_status": 0, "gates": []}, "All 4 tests passed"),
        ({"outcomes": {"passed": 3, "skipped": 1}, "exit_status": 0, "gates": []}, "No test failed"),
        ({"outcomes": {"passed": 4}, "exit_status": 1, "gates": []}, "No test failed, but the run did"),
        ({"outcomes": {}, "exit_status": 5, "gates": [], "tests": []}, "No test ran"),
        ({"outcomes": {"passed": 2}, "ending": "interrupted"}, "The run was not finished: 2 tests so far"),
    ],
)
def test_the_title_says_how_the_run_ended(record: Record, root: Path, changes: Any, title: str) -> None:
    record.update(changes)
    assert f">{title}</h1>" in page(record, root)


def test_a_run_that_was_killed_says_so_above_everything(record: Record, root: Path) -> None:
    record.update({"ending": "unfinished", "exit_status": None, "problems": ["2 files could not be written"]})
    html = page(record, root)
    assert html.index("was ended from outside") < html.index("What failed")
    assert "2 files could not be written" in html


def test_a_call_that_failed_for_two_tests_is_the_first_cause_and_shown_once(record: Record, root: Path) -> None:
    html = page(record, root)
    failures = html[html.index('id="failures"') : html.index('id="gates"')]
    assert failures.index("test_long_prompts_are_answered") < failures.index("test_calibration_error_is_small")
    assert unescape(html).count(REMOTE_ERROR.splitlines()[-3]) == 1
    text = text_of(failures)
    assert "test_long_prompts_are_answered , test_long_prompts_keep_their_order" in text
    assert "NVIDIA A10 · 9.1 s until it raised · 2 attempts · container ta-01JGV2" in text
    assert "longest: 8192 tokens" in text


def failures_in(record: Record, root: Path) -> tuple[str, str]:
    """Return the part of the page about failures, and what can be read of it."""
    html = page(record, root)
    failures = html[html.index('id="failures"') : html.index('id="gates"')]
    return failures, text_of(failures)


def test_the_error_is_above_the_code_that_met_it(record: Record, root: Path) -> None:
    failed = next(test for test in record["tests"] if test["nodeid"] == CALIBRATION)
    traceback = "table = []\n\n>   assert a == b\nE       assert [1, 2] == [1, 3]\nE         At index 1 diff: 2 != 3\n"
    failed["message"] = "assert [1, 2] == [1, 3]"
    next(phase for phase in failed["phases"] if phase["outcome"] == "failed")["text"] = traceback
    html, text = failures_in(record, root)
    assert ">assert [1, 2] == [1, 3]\n  At index 1 diff: 2 != 3</pre>" in html
    assert text.index("At index 1 diff") < text.index("table = []")
    # The remote exception as well, whose message the head of a call's error does not have.
    assert text.index("of which 4.31 GiB is free.") < text.index("call failed:") < text.index("generation/utils.py")


def test_a_failed_gate_says_once_what_became_worse_and_leads_to_its_panel(record: Record, root: Path) -> None:
    failed = next(test for test in record["tests"] if test["nodeid"].endswith("::test_arithmetic"))
    line = "ACCURACY REGRESSION  arithmetic  91.3% -> 88.1%, -3.2 points [-4.3, -2.1]"
    failed["message"] = f"AccuracyRegression: {line}"
    failed["phases"][1]["text"] = f">   gate()\nE   a.b.AccuracyRegression: {line}\nE     43 items got worse\n"
    html, text = failures_in(record, root)
    assert '<p>Gate: <a href="#gate-1">arithmetic</a></p>' in html
    assert ">43 items got worse</pre>" in html
    assert "ACCURACY REGRESSION arithmetic 91.3% → 88.1%, −3.2 points [−4.3, −2.1]" in text
    assert text.count("AccuracyRegression: ") == 1, "in the traceback"


def test_of_a_long_output_the_middle_is_left_out_and_its_end_is_shown(record: Record, root: Path) -> None:
    output = "first line\n" + "x" * 1_000_000 + "\nlast line"
    record["calls"][0]["printed"] = output
    html = page(record, root)
    assert "first line" in html
    assert "last line" in html
    assert "980,021 characters are left out here" in html
    assert len(html) < len(page(record | {"calls": []}, root)) + 3 * TAIL + 50_000


def test_the_output_of_a_call_is_shown_with_the_first_of_its_tests(record: Record, root: Path) -> None:
    record["calls"][10]["printed"] = "seen once"
    html = page(record, root)
    assert html.count("seen once") == 1
    assert "The output of losses[10] is shown with test_loss_falls ." in text_of(html)


def test_colours_of_a_terminal_are_dropped_and_other_codes_shown(record: Record, root: Path) -> None:
    record["calls"][0]["printed"] = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x00 \u202e"
    assert r"red \x1b]0;title\x07 \x00 \u202e" in page(record, root)


# Files.


def test_a_file_that_changed_since_or_is_gone_or_no_figure_is_a_note(record: Record, root: Path) -> None:
    add_file(record, root, "changed.png", b"\x89PNG\r\n\x1a\n of the run")
    (root / "changed.png").write_bytes(b"\x89PNG\r\n\x1a\n of another run")
    add_file(record, root, "text.png", b"no figure")
    add_file(record, root, "broken.csv.gz", b"no gzip")
    add_file(record, root, "latin.csv", b"a,b\n\xff,1\n")
    record["artifacts"].append({"path": "../out.png", "test": CALIBRATION, "kind": "figure", "bytes": 1, "sha256": ""})
    text = text_of(page(record, root))
    for said in (
        "changed.png 19 B The file can't be shown: it has changed since the run.",
        "text.png 9 B The file can't be shown: it is not a file of the kind .png.",
        "gone.png 17.8 KiB The file is missing.",
        "out.png 1 B The file can't be shown: it is not in the output directory.",
        "latin.csv 8 B The file can't be shown: it is not UTF-8.",
    ):
        assert said in text
    assert re.search(r"broken\.csv\.gz 7 B The file can't be shown: it can't be decompressed", text)


def test_figures_are_embedded_as_they_are(record: Record, root: Path) -> None:
    html = page(record, root)
    for artifact in record["artifacts"]:
        if (root / artifact["path"]).suffix in (".png", ".svg", ".pdf") and (root / artifact["path"]).exists():
            assert base64.b64encode((root / artifact["path"]).read_bytes()).decode() in html


def test_figures_that_are_too_large_together_are_linked_where_they_are(record: Record, root: Path) -> None:
    name = 'javascript:50% "of" #1?.png'
    add_file(record, root, name, b"\x89PNG\r\n\x1a\n" + b"x" * 1000)
    first = next(each["bytes"] for each in record["artifacts"] if each["path"].endswith(".png"))
    html = "".join(render_page(record, None, root, root / "pages", most_figures=first))
    assert html.count('<img src="data:image/png') == 1
    links = dict(re.findall(r'href="(\.\./[^"]+)" rel="noopener noreferrer">([^<]+)<', html))
    assert unescape(links["../javascript%3A50%25%20%22of%22%20%231%3F.png"]) == name
    for link in links:
        assert (root / "pages" / unquote(link)).resolve().is_file()
    assert text_of(html).count("The figure is not in this page") == len(links) == 4
    assert "The figure is not in this page" not in page(record, root)


def test_a_link_in_place_of_a_figure_is_not_followed(record: Record, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    record["artifacts"].append({"path": "link.png", "test": CALIBRATION, "kind": "figure", "bytes": 1, "sha256": ""})
    assert "it is not in the output directory" in page(record, root)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_preview_has_the_first_rows_and_the_kind_of_each_column(tmp_path: Path, compressed: bool) -> None:
    content = b"step,loss,right,word,none\n" + b"".join(b"%d,%.2f,True,a b,\n" % (at, at / 8) for at in range(40))
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(content) if compressed else content)
    table = preview(path, compressed=compressed)
    assert [column.kind for column in table.columns] == ["integer", "number", "true or false", "text", "empty"]
    assert [bool(column.points) for column in table.columns] == [True, True, False, False, False]
    assert table.rows[1] == ("1", "0.12", "True", "a b", "")
    assert [column.is_number for column in table.columns] == [True, True, False, False, False]
    assert (table.extent, len(table.rows)) == ("40 rows, 5 columns", 6)


def test_long_numbers_of_a_preview_are_rounded_and_whole_in_their_title(record: Record, root: Path) -> None:
    add_file(record, root, "long.csv", b"x,y\n0.12345678901,7\n0.10,80\n")
    html = page(record, root)
    assert '<td class="number" title="0.12345678901">0.123457</td><td class="number">7</td>' in html
    assert '<td class="number">0.10</td>' in html


def test_a_large_table_is_read_in_part_and_its_peak_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x\n" + "\n".join("9" if at == 2_345 else "1" for at in range(20_000)))
    table = preview(path, compressed=False)
    assert table.extent == "more than 4,999 rows, 1 column"
    assert table.columns[0].range == "1 to 9"
    assert ",2.0" in table.columns[0].points


# Gates, time, differences.


def test_a_gate_shows_its_change_with_the_interval_and_level_of_the_record(record: Record, root: Path) -> None:
    text = text_of(page(record, root))
    assert "arithmetic: change −3.2, 95.5% interval −4.3 to −2.1; min_drop 0.5 points" in text
    assert "arithmetic: 8 earlier values; rounds of the baseline from 91.0% to 91.4%; this run 88.1%" in text
    assert "5/5" in text


def test_of_flips_that_are_left_out_the_page_says_how_many_there_are(record: Record, root: Path) -> None:
    gate = record["gates"][0]
    gate["flips_in_all"] = 1_143
    gate["result"] |= {"newly_failing": 756, "newly_passing": 387}
    text = text_of(page(record, root))
    assert "worse 43 of 756" in text
    assert "better 9 of 387" in text
    assert "The first 52 of 1,143 flips are shown." in text
    assert "22 more are in the page." in text, "in print"


def test_a_test_shows_the_time_of_its_calls_in_this_run_as_well(record: Record, root: Path) -> None:
    test = next(test for test in record["tests"] if test["nodeid"].endswith("::test_answers_are_short"))
    for call in record["calls"]:
        if call["key"] in test["calls"]:
            call |= {"seconds": 10.0, "reused": call["key"] != test["calls"][0]}
    html = page(record, root)
    assert ">400 ms, calls 10 s</span>" in html
    assert 'data-seconds="10.4"' in html
    assert ">200 ms</span>" in html, "a test without calls"


def test_a_score_of_which_less_is_better_is_shown_as_it_was_measured(record: Record, root: Path) -> None:
    text = text_of(page(record, root))
    assert "2.31 → 2.29 −0.02 −0.07 to +0.03" in text


def test_a_gate_without_an_end_of_its_interval_reaches_the_edge(record: Record, root: Path) -> None:
    record["gates"][0]["result"]["change"]["interval"] = [None, 0.01]
    assert "arithmetic: change −3.2, 95.5% interval −∞ to +1.0" in text_of(page(record, root))


def test_the_parts_add_up_to_what_was_paid(record: Record) -> None:
    spending = spending_of(record)
    assert spending is not None
    assert sum(part.seconds for part in spending.parts) == pytest.approx(263.9)
    assert sum(part.amount for part in spending.parts) == pytest.approx(0.1631)
    assert {part.kind for part in spending.parts} == {"start", "load", "call", "failed", "alive"}


def test_calls_too_short_to_be_seen_are_drawn_together_but_not_those_that_failed(record: Record) -> None:
    call = record["calls"][0]
    record["calls"] = [call | {"started": START + 50 + at / 100, "seconds": 0.009} for at in range(5_000)]
    record["calls"][2_500]["status"] = "crashed"
    timeline = timeline_of(record)
    assert timeline is not None
    bars = next(lane for lane in timeline.lanes if lane.detail == "ta-01JGT8").bars
    assert len(bars) < 200
    assert sum(bar.kind == "failed" for bar in bars) == 1
    assert sum(int(bar.said.split()[0].replace(",", "")) for bar in bars if " calls: " in bar.said) > 4_900


def test_differences_to_the_last_run_are_those_that_a_comparison_finds(record: Record, root: Path) -> None:
    earlier = earlier_record(record)
    earlier["tests"].pop()
    groups = shown_differences(differences_between(earlier, record), record)
    found = {group.title: [(row.name, row.word) for row in group.rows] for group in groups}
    new = record["tests"][-1]["nodeid"]
    assert found["Outcomes"] == [(CALIBRATION, "worse"), (new, "new")]
    assert found["Gates"] == [("arithmetic", "worse")]
    assert found["Times"] == [("function losses (evals/inference.py) (18 calls)", "2.3× slower")]
    assert found["Files"] == [("test_training/test_loss_falls/loss.png", "changed")]
    assert found["How it was run"] == [("commit", "changed"), ("branch", "changed"), ("transformers", "changed")]
    text = text_of(page(record, root, earlier))
    assert "16 November 2026, 09:00 UTC, commit 1b2c3d4e5f on main, clean" in text


def test_a_call_that_took_longer_by_noise_is_no_difference(record: Record, root: Path) -> None:
    earlier = copy.deepcopy(record)
    for call in earlier["calls"]:
        call["seconds"] /= 1.9
    assert "Nothing has changed" in page(record, root, earlier)


def test_what_is_better_is_said_to_be(record: Record) -> None:
    groups = shown_differences(differences_between(record, earlier_record(record)), earlier_record(record))
    words = {group.title: {row.word for row in group.rows} for group in groups}
    assert (words["Outcomes"], words["Gates"]) == ({"better"}, {"better"})


def test_between_equal_runs_there_is_no_difference(record: Record, root: Path) -> None:
    assert "Nothing has changed" in page(record, root, copy.deepcopy(record))


def test_without_an_earlier_run_the_page_says_so(record: Record, root: Path) -> None:
    assert "There is no earlier run of the same tests" in page(record, root)


def test_a_run_of_nothing_has_a_page(record: Record, root: Path) -> None:
    nothing: Any = {name: type(value)() if isinstance(value, list | dict) else value for name, value in record.items()}
    text = text_of(page(nothing | {"cost": None, "mode": "none", "exit_status": 5}, root))
    for said in ("No test ran", "Nothing failed", "No gate was used", "No test used the GPU", "Nothing was run"):
        assert said in text


# The file.


def test_only_the_script_of_the_page_may_run(record: Record, root: Path) -> None:
    html = page(record, root)
    script = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert len(script) == 1
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_an_address_that_is_not_https_is_no_link(record: Record, root: Path) -> None:
    record["sessions"][0]["url"] = "javascript:alert(1)"
    html = page(record, root)
    assert "ap-8sQzT0WmX2" in html
    assert "javascript:" not in html


def test_a_page_that_can_not_be_made_leaves_the_last_one(record: Record, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_page(record, None, root, path)
    before = path.read_bytes()
    del record["notes"]  # type: ignore[misc]
    with pytest.raises(Exception, match="notes"):
        write_page(record, None, root, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


def test_templates_are_imported_only_when_a_page_is_made() -> None:
    program = "import sys, pytest_modal.report.html.page; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
