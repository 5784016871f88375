"""``pytest-modal compare`` for two runs: what differs, whether it is worse, and a page that shows it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from pytest_modal.checks.render import write
from pytest_modal.cli.runs import default_root, is_written
from pytest_modal.committed import read_regular
from pytest_modal.records.comparing import compare_runs
from pytest_modal.records.reading import RecordError, find_run
from pytest_modal.report.comparison.lines import lines_of
from pytest_modal.store.files import write_text

_RUN_NAME = re.compile(r"last(~\d*)?|\d{8}T\d*(-\w*)?")


def is_run(name: str) -> bool:
    """Return whether an argument names a run, and not a file of per-item results."""
    path = Path(name)
    if path.is_dir():
        return False
    if not path.is_file():
        # A file that is missing is said to be missing by whoever reads such files.
        return not path.suffix or _RUN_NAME.fullmatch(name) is not None
    if path.suffix != ".json":
        return False
    try:
        fields = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and {"schema", "ending", "calls", "gates"} <= fields.keys()


def compare_two_runs(
    before: str, after: str, root: Path | None = None, *, html: str | None, as_json: bool, slower_fails: bool
) -> int:
    """Compare two runs, and print what differs.

    Parameters
    ----------
    root : Path, optional
        Where tests write: there runs are found by their ids.
    html : str or None
        The file of the page.

    Returns
    -------
    int
        0, 1 if the second is worse, 2 if they can't be compared.
    """
    root = root or default_root()
    try:
        comparison = compare_runs(find_run(before, root), find_run(after, root))
    except RecordError as error:
        print(error, file=sys.stderr)
        return 2
    if as_json:
        write(json.dumps(comparison.as_json(), indent=2) + "\n")
    else:
        write("\n".join([*lines_of(comparison), ""]))
    if html is not None:
        # Templates are for those who want the page.
        from pytest_modal.report.comparison.page import render_page

        if not is_written(Path(html), lambda: write_text(Path(html), render_page(comparison))):
            return 2
    return int(comparison.worse or (slower_fails and bool(comparison.differences.slower)))
