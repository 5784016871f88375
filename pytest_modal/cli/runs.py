"""``pytest-modal runs``: the runs of a project that are kept, the newest first."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_modal._pytest_compat import project_of
from pytest_modal.batch.cost import money
from pytest_modal.checks.render import write
from pytest_modal.local.output_dir import RUNS, chosen_root
from pytest_modal.records.reading import RecordError, read_record, runs_in
from pytest_modal.report.record import FAILED, Record
from pytest_modal.wording import aligned, safe_line, three_parts

_TITLES = ("id", "date", "mode", "GPU", "tests", "gates", "cost", "seconds")


def list_runs(root: Path | None = None, *, as_json: bool = False) -> int:
    """Print the runs that are kept.

    Parameters
    ----------
    root : Path, optional
        Where tests write.

    Returns
    -------
    int
        0, or 2 if the record of a run can't be read.
    """
    root = root or default_root()
    records, status = list[Record](), 0
    for path in runs_in(root):
        try:
            records.append(read_record(path))
        except RecordError as error:
            print(error, file=sys.stderr)
            status = 2
    if as_json:
        write(json.dumps([_facts(each) for each in records], indent=2) + "\n")
    elif records:
        write("\n".join([*aligned([_TITLES, *map(_row, records)]), ""]))
    elif not status:
        write(f"no runs in {root / RUNS}: run pytest with GPU tests first, or name another --output-dir\n")
    return status


def default_root() -> Path:
    """Return where the tests of the project write that the working directory is in."""
    here = Path.cwd()
    rootdir, ini = project_of(here)
    root = chosen_root(rootdir, None, ini.get("modal_output_dir"))
    return root.relative_to(here) if root.is_relative_to(here) else root


def is_written(page: Path, write_it: Callable[[], None]) -> bool:
    """Write a page; where that fails, say why and return False."""
    try:
        write_it()
    except OSError as error:
        what = f"the page can't be written: {error.strerror}"
        print(three_parts(what, page, "name a file that can be written, --html=PATH"), file=sys.stderr)
        return False
    return True


def _facts(record: Record) -> dict[str, Any]:
    """Return what tells a run from others, as `--json` prints it."""
    cost = record["cost"]
    return {
        "id": record["id"],
        "started": record["started"],
        "ending": record["ending"],
        "mode": record["mode"],
        "gpus": sorted({each["gpu"] for each in record["containers"] if each["gpu"]}),
        "outcomes": record["outcomes"],
        "gates": dict(Counter(each["verdict"] for each in record["gates"])),
        "dollars": None if cost is None else cost["dollars"],
        "seconds": record["seconds"],
        "commit": record["commit"],
        "branch": record["branch"],
        "clean": record["clean"],
    }


def _row(record: Record) -> list[str]:
    facts = _facts(record)
    row = [
        record["id"],
        record["started"][:16].replace("T", " "),
        record["mode"],
        ", ".join(facts["gpus"]),
        _tests(record),
        ", ".join(f"{number:,} {verdict}" for verdict, number in facts["gates"].items()),
        "" if facts["dollars"] is None else money(facts["dollars"]),
        f"{record['seconds']:,.0f}",
    ]
    return [safe_line(cell, 60) for cell in row]


def _tests(record: Record) -> str:
    outcomes = record["outcomes"]
    failed = sum(outcomes.get(name, 0) for name in FAILED)
    parts = [f"{outcomes.get('passed', 0):,} passed", *([f"{failed:,} failed"] if failed else [])]
    return ", ".join(parts) if record["ending"] == "finished" else f"{', '.join(parts)} ({record['ending']})"
