"""A comparison of two runs of the sample: an outcome, gates, a figure and a table that differ."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sample_record import earlier_record, sample_record

from pytest_modal.report.comparison.files import compare_file
from pytest_modal.report.comparison.model import Comparison, GateComparison, Recorded, Run
from pytest_modal.report.comparison.page import render_page
from pytest_modal.report.differences import differences_between
from pytest_modal.report.html.images import Images
from pytest_modal.report.record import Record

FIGURE, TABLE = "test_training/test_loss_falls/loss.png", "test_calibration/test_calibration_error_is_small/bins.csv"


def write_comparison(
    directory: Path,
    change: Callable[[Any], Any] = lambda record: record,
    added: Mapping[str, Sequence[bytes]] | None = None,
) -> Path:
    """Write the page of the comparison, and return its file.

    Parameters
    ----------
    change : callable, optional
        Changes a record, or a part of one.
    added : mapping of str to sequence of bytes, optional
        Files that a test wrote too: their content in the earlier and in the later run.
    """
    roots = directory / "earlier", directory / "later"
    later, earlier = sample_record(roots[1]), earlier_record(sample_record(roots[0]))
    earlier["tests"].pop()
    earlier["gates"].pop()
    contents = {
        FIGURE: [_drawn_otherwise(roots[0]), (roots[1] / FIGURE).read_bytes()],
        TABLE: [b"confidence,accuracy,count\n0.0,0.1,7\n", (roots[1] / TABLE).read_bytes()],
        **(added or {}),
    }
    test = later["tests"][0]["nodeid"]
    for root, record, content in zip(roots, (earlier, later), zip(*contents.values(), strict=True), strict=True):
        for path, written in zip(contents, content, strict=True):
            _write(root, record, path, written, test)
    before, after = (Run(change(record), root) for record, root in zip((earlier, later), roots, strict=True))
    page = directory / "comparison.html"
    page.write_text(render_page(_compared(before, after, change)), encoding="utf-8")
    return page


def _drawn_otherwise(root: Path) -> bytes:
    from matplotlib import pyplot

    image = pyplot.imread(root / FIGURE)
    image[200:230, 300:420, :3] = (0.8, 0.2, 0.2)
    pyplot.imsave(root / FIGURE, image)
    return (root / FIGURE).read_bytes()


def _write(root: Path, record: Record, path: str, content: bytes, test: str) -> None:
    (root / path).write_bytes(content)
    entry: Any = {"path": path, "test": test, "kind": "file"}
    entry = next((each for each in record["artifacts"] if each["path"] == path), entry)
    entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if entry not in record["artifacts"]:
        record["artifacts"].append(entry)


def _compared(before: Run, after: Run, change: Callable[[Any], Any]) -> Comparison:
    differences = differences_between(before.record, after.record)
    fallen = after.record["gates"][0]
    gate = GateComparison(
        gate=fallen["gate"],
        verdict="FAIL",
        fell=True,
        n=1200,
        then=0.913,
        now=0.881,
        change=-0.032,
        interval=(-0.043, -0.021),
        p=0.00002,
        shown="91.3% -> 88.1%, -3.2 points [-4.3, -2.1]",
        worse=43,
        better=9,
        details=(),
        flips=tuple(fallen["flips"]),
    )
    images = Images()
    return Comparison(
        before,
        after,
        differences,
        gates=(gate,),
        recorded=tuple(Recorded(each, "only in the later run") for each in differences.gates if each.was is None),
        together=change("all gates together: -0.4 points"),
        files=tuple(compare_file(each, before, after, images) for each in differences.artifacts),
    )
