"""The page of a large run: 500 tests with 200 figures and 5,000 calls; its size, and the time to write and to paint it.

    python benchmarks/report_page.py

The bars: under 20 MB more than the figures themselves, written in under 1 s besides reading them, first paint under
1 s. The browser opens the page from disk three times; the slowest counts. It needs playwright and Chromium.
"""

from __future__ import annotations

import copy
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))

from sample_record import sample_record

from pytest_modal.report.html.page import write_page
from pytest_modal.report.record import Record

TESTS, FIGURES, CALLS = 500, 200, 5_000


def large_record(root: Path) -> Record:
    """Return the record of a large run, made of the sample's tests, calls and figures."""
    rng, record = random.Random(0), sample_record(root)
    calls = [call for call in record["calls"] if call["status"] == "ok"]
    figures = [each for each in record["artifacts"] if each["path"].endswith((".png", ".svg")) and each["sha256"]]
    table = next(each for each in record["artifacts"] if each["path"].endswith("loss.csv"))
    record["calls"] = [
        copy.deepcopy(calls[at % len(calls)])
        | {
            "key": f"{at:032x}",
            "label": f"answers[{at}]",
            "seconds": rng.uniform(0.001, 0.02),
            "printed": "done\n" * 40,
        }
        for at in range(CALLS)
    ]
    tests, artifacts = [], []
    for at in range(TESTS):
        test: Any = copy.deepcopy(record["tests"][at % len(record["tests"])])
        test["nodeid"] += f"[{at}]"
        test["calls"] = [call["key"] for call in record["calls"][at::TESTS]]
        test["phases"][1]["sections"] = [("Captured stdout call", f"step {at}\n" * 200)]
        tests.append(test)
        wanted = figures[at % len(figures)] if at < FIGURES else table if at < 2 * FIGURES else None
        if wanted is not None:
            path = Path("large", f"{at}{Path(wanted['path']).suffix}")
            (root / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(root / wanted["path"], root / path)
            artifacts.append(wanted | {"path": path.as_posix(), "test": test["nodeid"]})
    record.update({"tests": tests, "artifacts": artifacts, "outcomes": {"passed": TESTS - 60, "failed": 60}})
    return record


def first_paint(path: Path) -> tuple[float, float]:
    """Return the seconds until something is painted, and until all is loaded."""
    from playwright.sync_api import sync_playwright

    painted = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_timeout(500)
            entries = page.evaluate(
                "[performance.getEntriesByName('first-contentful-paint')[0].startTime,"
                " performance.getEntriesByType('navigation')[0].loadEventEnd]"
            )
            painted.append((entries[0] / 1000, entries[1] / 1000))
            page.close()
        browser.close()
    return max(each[0] for each in painted), max(each[1] for each in painted)


def main() -> None:
    """Print what the page costs."""
    with tempfile.TemporaryDirectory() as directory:
        root, path = Path(directory, "output"), Path(directory, "report.html")
        root.mkdir()
        record = large_record(root)
        figures = sum(each["bytes"] for each in record["artifacts"] if not each["path"].endswith(".csv"))
        started, worked = time.perf_counter(), time.process_time()
        write_page(record, copy.deepcopy(record), root, path)
        took, work = time.perf_counter() - started, time.process_time() - worked
        size = path.stat().st_size
        print(
            f"{len(record['tests'])} tests, {FIGURES} figures of {figures / 1e6:.1f} MB, {len(record['calls']):,} calls"
        )
        print(f"page: {size / 1e6:.1f} MB, {(size - figures) / 1e6:.1f} MB more than the figures")
        print(f"written in {took:.2f} s, {work:.2f} s of the processor")
        paint, load = first_paint(path)
        print(f"first paint: {paint:.2f} s; loaded: {load:.2f} s")


if __name__ == "__main__":
    main()
