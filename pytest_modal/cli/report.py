"""``pytest-modal report``: the page of a run, made from its record: of an earlier one, or of one that was killed."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_modal.checks.render import write
from pytest_modal.cli.runs import default_root, is_written
from pytest_modal.declare.settings import REPORT
from pytest_modal.local.output_dir import RUNS
from pytest_modal.records.reading import RecordError, find_run, previous_of, read_record
from pytest_modal.report.html.page import write_page


def write_report(name: str, root: Path | None = None, *, html: Path | None = None) -> int:
    """Write the page of a run.

    Parameters
    ----------
    name : str
        See `pytest_modal.records.reading.find_run`.
    root : Path, optional
        Where tests write: there runs are found by their ids.
    html : Path, optional
        The file of the page; ``report.html`` beside what the tests of that run wrote, if it isn't named.

    Returns
    -------
    int
        0, or 2 if the record can't be read or the page can't be written.
    """
    try:
        found = find_run(name, root or default_root())
        record = read_record(found)
    except RecordError as error:
        print(error, file=sys.stderr)
        return 2
    directory = found.absolute().parent
    directory = directory.parent if directory.name == RUNS else directory
    path = html or directory / REPORT
    previous = previous_of(record["id"], record["selection"], directory)
    if not is_written(path, lambda: write_page(record, previous, directory, path)):
        return 2
    write(f"{path}\n")
    return 0
