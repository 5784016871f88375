"""The page of a run: one self-contained HTML file that asks for nothing and runs one script of ours."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pytest_modal.report.differences import differences_between
from pytest_modal.report.html.artifacts import Files
from pytest_modal.report.html.devices import devices_in
from pytest_modal.report.html.differences import shown_differences
from pytest_modal.report.html.environment import PACKAGE, environment
from pytest_modal.report.html.failed import failures_of
from pytest_modal.report.html.gates import panels_of
from pytest_modal.report.html.images import ALL_FIGURES, Images
from pytest_modal.report.html.marks import in_order
from pytest_modal.report.html.spending import spending_of
from pytest_modal.report.html.summary import commit_of, moment, summary_of
from pytest_modal.report.html.tests import files_without_test, tests_of
from pytest_modal.report.html.text import Texts, cut, with_minus
from pytest_modal.report.html.timeline import timeline_of
from pytest_modal.report.record import Record
from pytest_modal.store.files import writing


def load_templates() -> None:
    """Compile the templates of the page, which takes longer than most pages do."""
    made = environment()
    for name in made.list_templates(extensions=["jinja"]):
        made.get_template(name)


def write_page(record: Record, previous: Record | None, root: Path, path: Path) -> None:
    """Write the page of a run to a file, atomically; the directory is made.

    Parameters
    ----------
    previous : Record or None
        The last run of the same tests.
    root : Path
        The output root, where the files of the tests are.

    Raises
    ------
    OSError
        It can't be written.
    """
    with writing(path) as write:
        for piece in render_page(record, previous, root, path.parent):
            write(piece)


def render_page(
    record: Record, previous: Record | None, root: Path, directory: Path, *, most_figures: int = ALL_FIGURES
) -> Iterator[str]:
    """Yield the page of a run in pieces; files of tests are read, and nothing is written.

    Parameters
    ----------
    directory : Path
        Where the page will be.
    most_figures : int
        Bytes of all figures that are embedded; the others are linked.
    """
    texts = Texts()
    content = _content(record, previous, texts, Files(root, directory, texts, Images(most_figures)))
    yield from environment().get_template("page.html.jinja").generate(content)


def _content(record: Record, previous: Record | None, texts: Texts, files: Files) -> dict[str, Any]:
    script = resources.files(PACKAGE).joinpath("templates", "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # In the order in which they are read, so that what is read first is cut last.
    failures, panels = failures_of(record, texts), panels_of(record, texts)
    tests = tests_of(record, files, texts)
    marks = Counter(test.mark for test in tests)
    sessions = [(cut(each["id"], 80), _link(each["url"]), each["round"]) for each in record["sessions"]]
    return {
        "script": script,
        "script_digest": digest,
        "record": record,
        "summary": summary_of(record),
        "failures": failures,
        "panels": panels,
        "together": with_minus(record["together"] or ""),
        "gates_in_all": len(record["gates"]),
        "tests": tests,
        "causes": {link: failure.anchor for failure in failures for link, _ in failure.tests},
        "others": max(0, sum(record["outcomes"].values()) - len(tests)),
        "pictures": {test.anchor: test.pictures for test in tests if test.pictures},
        "marks": in_order(marks),
        "marked": marks,
        "other_files": files_without_test(record, files),
        "timeline": timeline_of(record),
        "spending": spending_of(record),
        "devices": devices_in(record),
        "differences": None if previous is None else shown_differences(differences_between(previous, record), record),
        "previous": None if previous is None else f"{moment(previous['started'])}, commit {commit_of(previous)}",
        "sessions": sessions,
    }


def _link(url: str | None) -> str:
    """Return an address that a click may open; empty for any other."""
    return url if url is not None and url.startswith("https://") else ""
