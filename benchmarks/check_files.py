"""How long ``pytest-modal check`` takes for 1,000 Modal scripts of 240 lines: the bar is 5 seconds.

Run: python benchmarks/check_files.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES, LINES = 1000, 240
CASES = Path(__file__).parent.parent / "tests" / "checks" / "rule_cases"


def scripts() -> list[str]:
    """Return files made of the rules' own cases, strung together to the length of a usual script."""
    sections = [
        section.partition("\n")[2]
        for path in sorted(CASES.glob("*.txt"))
        for section in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    ]
    found: list[str] = []
    for number in range(FILES):
        lines: list[str] = ["import modal", 'app = modal.App("evaluation")']
        index = number
        while len(lines) < LINES:
            case = sections[index % len(sections)].splitlines()
            # A third of the lines of public scripts are comments.
            lines += [*case, *("# " + "what this step does, and why it is done so " * 2 for _ in case[::2])]
            index += 1
        found.append("\n".join(lines) + "\n")
    return found


def main() -> None:
    """Write the files, check them, and print what was measured."""
    with tempfile.TemporaryDirectory() as directory:
        for number, text in enumerate(scripts()):
            Path(directory, f"script_{number}.py").write_text(text, encoding="utf-8")
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "pytest_modal.checks", "check", directory, "--format", "json"],
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - started
    print(f"{FILES:,} files of about {LINES} lines: {seconds:.2f} s, {done.stdout.count('code')} findings (bar: 5 s)")
    if done.stderr:
        print(done.stderr[:2000])


if __name__ == "__main__":
    main()
