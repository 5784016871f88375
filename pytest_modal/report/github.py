"""The summary of a step in a GitHub workflow, and the comment on a pull or merge request."""

from __future__ import annotations

from pathlib import Path

from pytest_modal.report import parts
from pytest_modal.report.markdown import Section, code, page
from pytest_modal.report.record import Record

# GitHub refuses all of a step's summary where it is larger, whoever wrote what into it.
STEP_LIMIT = 1024 * 1024
# GitHub takes 65,536 characters of a comment, and workflows add lines of their own.
COMMENT_LIMIT = 60_000
# By this line a workflow finds the comment that it has to replace.
MARK = "<!-- pytest-modal -->"


def step_summary(record: Record, limit: int = STEP_LIMIT) -> str:
    """Return a page in markdown: gates, failures with their tracebacks, cost, where the time went."""
    sections = [Section(f"## pytest-modal: {parts.title(record)}\n\n{parts.facts(record)}")]
    sections += [parts.problems(record), *parts.gates(record), parts.failures(record, whole=True)]
    sections += [parts.cost(record), parts.times(record), parts.slowest(record), Section(parts.artifacts(record))]
    sections.append(_notes(record))
    return page(sections, limit)


def comment(record: Record, limit: int = COMMENT_LIMIT) -> str:
    """Return the body of a comment in markdown: gates, a line for each failure."""
    sections = [Section(f"{MARK}\n## pytest-modal: {parts.title(record)}\n\n{parts.facts(record)}")]
    sections += [parts.problems(record), *parts.gates(record), parts.failures(record, whole=False)]
    sections.append(Section(parts.artifacts(record)))
    return page(sections, limit)


def append_step_summary(path: Path, record: Record) -> None:
    """Append the page to the file of a step's summary, which may have text of other programs.

    Raises
    ------
    OSError
        It can't be written.
    """
    with path.open("ab+") as file:
        before = file.seek(0, 2)
        if before:
            file.seek(before - 1)
            # A heading needs a line of its own.
            gap = b"\n" if file.read() == b"\n" else b"\n\n"
        else:
            gap = b""
        text = step_summary(record, max(0, STEP_LIMIT - before - len(gap)))
        if text:
            file.write(gap + text.encode("utf-8", "backslashreplace"))


def _notes(record: Record) -> Section:
    items = [f"- {code(line, 2_000)}" for line in record["notes"]]
    return Section("### Notes" if items else "", items, unit="note")
