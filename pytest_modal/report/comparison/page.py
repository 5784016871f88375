"""The page of a comparison: one self-contained file without scripts, with figures that differ side by side."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from pytest_modal.report.comparison.lines import (
    conclusion,
    recorded_line,
    seconds,
    table_lines,
    time_name,
    time_shown,
)
from pytest_modal.report.comparison.model import Comparison
from pytest_modal.wording import safe

if TYPE_CHECKING:
    import jinja2

_PACKAGE = "pytest_modal.report.comparison"
MOST_ROWS = 500  # of a kind; all are in the JSON


def render_page(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    style = files(_PACKAGE).joinpath("templates", "comparison.css").read_text("utf-8")
    page = _environment().get_template("comparison.html.jinja")
    return page.render(
        style=style,
        comparison=comparison,
        differences=comparison.differences,
        conclusion=conclusion(comparison),
        times=[
            (each, time_name(each), *time_shown(each)) for each in comparison.differences.times if not each.unchanged
        ],
        figures=[each for each in comparison.files if each.was or each.now],
        others=[each for each in comparison.files if not (each.was or each.now)],
        recorded_line=recorded_line,
        table_lines=table_lines,
        seconds=seconds,
        most=MOST_ROWS,
    )


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
    """Return what a template puts out: control codes and marks of direction in text are shown as escapes."""
    return safe(value) if type(value) is str else value
