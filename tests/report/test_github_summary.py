"""Pages in markdown: the summary of a step, the comment on a pull request; metrics for GitLab."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import github_record as given
import pytest
from markdown_it import MarkdownIt

from pytest_modal.report import github, gitlab, markdown
from pytest_modal.report.record import Record

PAGES = {"step": github.step_summary, "comment": github.comment}

TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
USUAL = {"h2", "h3", "p", "ul", "li", "code", "pre", "strong", "em", "details", "summary", *TABLE}


class Rendered(HTMLParser):
    """A page as a browser sees it: its tags, and what is written outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[int] = []
        self.open: list[str] = []
        self.prose = self.code = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are nested"

    def handle_data(self, data: str) -> None:
        if "code" in self.open:
            self.code += data
        else:
            self.prose += data

    def handle_comment(self, data: str) -> None:
        assert f"<!--{data}-->" == github.MARK


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_gates_failures_and_commit(name: str) -> None:
    text = PAGES[name](given.record())
    assert "## pytest-modal: 1 failed, 1 error, 4 passed\n" in text
    assert "mode `modal` on `NVIDIA H100` · commit `abc123def456` of `main` · 2 min 10 s · about $0.068" in text
    assert "[`ap-1`](https://modal.com/apps/ours/main/ap-1)" in text
    assert "| `toy` | **FAIL** | 100.0% | 95.0% | -5.0 | [-8.0, -2.0] | 0.0001 | 10, 0 |\n\n1 gated\n" in text
    assert "- `10 gates together  -0.8 points, p=0.3`\n- `toy: baseline not written, because the gate failed`" in text
    assert "2 artifacts, 1 figure among them: 3.0 KiB" in text
    page = Rendered(text)
    assert "test_it.py::test_answer[1]" in page.code
    assert "ValueError: no data (in answer[1])" in page.code


def test_the_summary_of_a_step_has_tracebacks_and_where_the_time_and_the_money_went() -> None:
    text = github.step_summary(given.record())
    assert (
        "```text\nanswer[1] raised ValueError\n  where: test_it.py:12\nRemote traceback\nValueError: no data\n```"
        in text
    )
    assert "| `H100` | 1 | 62.0 | about $0.068 |" in text
    for row in ("`planning` | 1.5", "1 model load | 12.0", "1 call | 2.0", "starting and waiting | 48.0"):
        assert f"{row} |\n" in text
    assert "| `answer[1]` | `NVIDIA H100` | 2.00 | 3.0 GiB |" in text


def test_a_comment_has_a_line_for_each_failure_and_the_mark_by_which_it_is_found_again() -> None:
    text = github.comment(given.record())
    assert text.startswith("<!-- pytest-modal -->\n## ")
    assert (
        "### Failures\n- error: `test_it.py::test_answer[1]`: `ValueError: no data (in answer[1])`\n- failed: " in text
    )
    assert "Remote traceback" not in text


def test_a_run_that_went_well_says_no_more_than_that() -> None:
    entry = given.record(
        outcomes={"passed": 2}, calls=[], tests=[], gates=[], together=None, gate_lines=[], artifacts=[]
    )
    entry |= {"containers": [], "events": [], "loads": [], "cost": None, "sessions": [], "mode": "local"}  # type: ignore[typeddict-item]
    facts = "mode `local` · commit `abc123def456` of `main` · 2 min 10 s"
    assert github.comment(entry) == f"<!-- pytest-modal -->\n## pytest-modal: 2 passed\n\n{facts}\n\n"


def test_what_is_not_as_usual_is_said_first() -> None:
    entry = given.record(ending="interrupted", clean=False, problems=["3 results were not stored"], outcomes={})
    text = github.comment(entry)
    assert "## pytest-modal: interrupted: no tests\n" in text
    assert "commit `abc123def456` of `main` with uncommitted changes" in text
    assert text.index("3 results were not stored") < text.index("Accuracy gates")


def test_a_first_baseline_is_not_called_a_missing_one() -> None:
    entry = given.record(gates=[given.gate(verdict="NO BASELINE", recorded=True), given.gate("b", "NO BASELINE")])
    text = github.comment(entry)
    assert "| `toy` | first baseline | none | 95.0% |" in text
    assert "| `b` | NO BASELINE | none |" in text
    assert "0 gated, 1 recorded for the first time, 1 without baseline" in text


def test_a_traceback_that_another_test_has_shown_is_not_shown_again() -> None:
    call = given.call(status="raised", error="answer raised\nRemote traceback\nthe cause")
    tests = [given.failing_test(f"t::{n}", text="as in t::0: ValueError") for n in range(3)]
    text = github.step_summary(given.record(calls=[call], tests=tests))
    assert text.count("the cause") == 1
    assert text.count("- error: `t::") == 2


def test_a_failed_call_of_which_no_test_tells_is_shown() -> None:
    call = given.call(status="timed out", error="answer[1] timed out after 5 s\n  where: test_it.py:10", tests=[])
    assert "- timed out: `answer[1]`: `answer[1] timed out after 5 s`" in github.comment(
        given.record(calls=[call], tests=[])
    )


@pytest.mark.parametrize("name", PAGES)
def test_hostile_texts_are_inert_in_markdown(name: str) -> None:
    text = PAGES[name](given.hostile())
    page = Rendered(text)
    assert not page.open
    assert {tag for tag, _ in page.tags} <= USUAL
    assert {key for _, attributes in page.tags for key in attributes} <= {"style", "class"}
    for word in ("octocat", "#123", "GH-7", "evil", "script", "javascript", "::error", "$x$"):
        assert word not in page.prose
        assert word in page.code or word == "$x$"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text)
    # No row has more cells than its table, or fewer.
    assert {*page.rows} <= {8, 4, 2}


@pytest.mark.parametrize(
    "text", ["`", "``", "a`", "`a", " a ", "a|b", "\\", "a\\|b", "a\\", "|", "\\\\|", "# x", "*a*_b_"]
)
def test_code_in_a_cell_is_what_it_was_and_leaves_the_table_whole(text: str) -> None:
    table = "\n".join([*markdown.heading(["one", "two"]), markdown.row([markdown.code(text), "end"])])
    page = Rendered(table)
    assert page.rows == [2, 2]
    assert page.code.strip() == text.strip()
    assert page.prose.split() == ["one", "two", "end"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a.b/)[x](y", "https://a.b/\n# x", "http://a.b", None])
def test_an_address_that_could_be_something_else_is_no_link(url: str | None) -> None:
    assert markdown.link("ap-1", url) == "`ap-1`"


def many(failures: int) -> Record:
    tests = [given.failing_test(f"test_it.py::test_{n}", text="\n".join(["é" * 400] * 90)) for n in range(failures)]
    return given.record(tests=tests, gates=[given.gate(f"gate-{n}") for n in range(200)])


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("limit", [100, 1_500, 3_000, 20_000, 60_000, 300_000, 1024 * 1024])
def test_a_page_keeps_to_its_limit_and_is_cut_between_rows_and_blocks(name: str, limit: int) -> None:
    text = PAGES[name](many(500), limit)
    assert len(text.encode()) <= limit
    assert text.count("```") % 2 == 0
    assert text.count("<details>") == text.count("</details>")
    page = Rendered(text)
    assert not page.open
    assert {*page.rows} <= {8, 4, 2}
    shown = text.count("<details>") if name == "step" else text.count("- error: ")
    if "### Failures" in text and shown < 500:
        assert f"_{500 - shown} failures left out: the page has a limit of size._" in text
    if limit > 3_000:
        assert "2 artifacts" in text, "what comes later has its place"


def test_the_middle_of_a_long_traceback_is_left_out() -> None:
    text = "\n".join(f"line {n}" for n in range(1_000))
    shown = markdown.block(text, lines=9, limit=100).splitlines()
    assert shown[1:-1] == [
        *(f"line {n}" for n in range(6)),
        "... 991 lines ...",
        *(f"line {n}" for n in (997, 998, 999)),
    ]
    assert max(map(len, markdown.block("x" * 1_000_000, lines=9, limit=100).splitlines())) < 110


@pytest.mark.parametrize("before", [b"", b"text", b"| a |\n"])
def test_the_summary_is_appended_to_what_a_step_has_written(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "summary"
    path.write_bytes(before)
    github.append_step_summary(path, given.record())
    text = path.read_bytes()
    assert text.startswith(before)
    assert b"\n\n## pytest-modal" in text or (not before and text.startswith(b"## pytest-modal"))
    github.append_step_summary(path, given.record())
    assert path.read_text().count("## pytest-modal") == 2


@pytest.mark.parametrize("already", [1024 * 1024 - 30, 1024 * 1024 - 5_000, 1024 * 1024, 0])
def test_with_what_others_have_written_the_file_stays_below_the_limit(tmp_path: Path, already: int) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * already)
    github.append_step_summary(path, many(500))
    size = path.stat().st_size
    assert already <= size <= 1024 * 1024
    assert (size > already) == (already <= 1024 * 1024 - 5_000)


def test_metrics_are_one_value_a_line_with_labels_that_can_hold_anything() -> None:
    lines = gitlab.metrics(given.hostile()).splitlines()
    assert lines[-1] == "# EOF"
    label = r'\{\w+="([^"\\]|\\["\\])*"\}'
    for line in lines[:-1]:
        assert re.fullmatch(rf"# TYPE \w+ gauge|\w+({label})? [-\d.e]+", line), line
    plain = gitlab.metrics(given.record()).splitlines()
    assert {'modal_gate_accuracy{gate="toy"} 0.95', 'modal_container_seconds{gpu="H100"} 62'} <= {*plain}
    assert {"modal_cost_dollars 0.068", "modal_run_seconds 130", 'modal_tests{outcome="failed"} 1'} <= {*plain}
