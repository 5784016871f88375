"""The page of a comparison: one self-contained file without scripts, with figures that differ side by side."""

from __future__ import annotations

from pytest_modal.batch.quantities import duration
from pytest_modal.report.comparison.lines import conclusion, recorded_line, table_lines
from pytest_modal.report.comparison.model import Comparison
from pytest_modal.report.html.environment import environment
from pytest_modal.report.html.gates import flip_row
from pytest_modal.report.html.marks import of_gate, of_test
from pytest_modal.report.html.summary import commit_of, cost_of, mode_of, moment
from pytest_modal.report.html.text import Texts
from pytest_modal.report.timing_differences import time_name, time_shown

MOST_ROWS = 500  # of a kind; all are in the JSON


def render_page(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    texts, title = Texts(), conclusion(comparison)
    runs = [
        (word, run.record, moment(run.record["started"]), duration(run.record["seconds"]))
        for word, run in (("Earlier", comparison.before), ("Later", comparison.after))
    ]
    page = environment("pytest_modal.report.comparison").get_template("comparison.html.jinja")
    return page.render(
        comparison=comparison,
        differences=comparison.differences,
        conclusion=title[:1].upper() + title[1:],
        runs=runs,
        flips=[(gate, [flip_row(each, texts) for each in gate.flips]) for gate in comparison.gates if gate.flips],
        times=[
            (each, time_name(each), *time_shown(each)) for each in comparison.differences.times if not each.unchanged
        ],
        figures=[each for each in comparison.files if each.was or each.now],
        others=[each for each in comparison.files if not (each.was or each.now)],
        recorded_line=recorded_line,
        table_lines=table_lines,
        of_test=of_test,
        of_gate=of_gate,
        mode_of=mode_of,
        commit_of=commit_of,
        cost_of=cost_of,
        cell=texts.cell,
        most=MOST_ROWS,
    )
