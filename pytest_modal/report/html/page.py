"""The page of a run: one self-contained HTML file that asks for nothing and runs one script of ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modal.report.html.devices import devices_in
from pytest_modal.report.html.differences import differences_of
from pytest_modal.report.html.failed import failures_of
from pytest_modal.report.html.gates import panels_of
from pytest_modal.report.html.marks import in_order
from pytest_modal.report.html.spending import spending_of
from pytest_modal.report.html.summary import summary_of
from pytest_modal.report.html.tests import files_without_test, tests_of
from pytest_modal.report.html.text import Texts, cut
from pytest_modal.report.html.timeline import timeline_of
from pytest_modal.report.record import Record
from pytest_modal.store.files import atomic_path
from pytest_modal.wording import safe

if TYPE_CHECKING:
    import jinja2

_PACKAGE = "pytest_modal.report.html"


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(render_page(record, previous, root))


def render_page(record: Record, previous: Record | None, root: Path) -> Iterator[str]:
    """Yield the page of a run in pieces; files of tests are read, and nothing is written."""
    yield from _environment().get_template("page.html.jinja").generate(_content(record, previous, root))


def _content(record: Record, previous: Record | None, root: Path) -> dict[str, Any]:
    style, script = (files(_PACKAGE).joinpath("templates", name).read_text("utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    texts = Texts()
    # In the order in which they are read, so that what is read first is cut last.
    failures, panels = failures_of(record, texts), panels_of(record, texts)
    tests = tests_of(record, root, texts)
    sessions = [(cut(each["id"], 80), _link(each["url"]), each["round"]) for each in record["sessions"]]
    return {
        "style": style,
        "script": script,
        "script_digest": digest,
        "record": record,
        "summary": summary_of(record),
        "failures": failures,
        "panels": panels,
        "gates_in_all": len(record["gates"]),
        "tests": tests,
        "causes": {link: failure.anchor for failure in failures for link, _ in failure.tests},
        "others": max(0, sum(record["outcomes"].values()) - len(tests)),
        "marks": in_order({test.mark for test in tests}),
        "other_files": files_without_test(record, root, texts),
        "timeline": timeline_of(record),
        "spending": spending_of(record),
        "devices": devices_in(record),
        "differences": None if previous is None else differences_of(record, previous),
        "sessions": sessions,
    }


def _link(url: str | None) -> str:
    """Return an address that a click may open; empty for any other."""
    return url if url is not None and url.startswith("https://") else ""


def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    """Return what a template puts out: of text all control codes and marks of direction are shown."""
    return safe(value) if type(value) is str else value
