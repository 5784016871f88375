"""PM101: files written in a GPU function."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rule import Rule
from pytest_modal.checks.script.destinations import Places
from pytest_modal.checks.script.path_uses import Uses
from pytest_modal.checks.script.script import GpuFunction, Script
from pytest_modal.checks.script.writes import Write, write_at


def check(script: Script, functions: list[GpuFunction]) -> Iterator[Finding]:
    """Find the writes whose files are gone with the container."""
    for function in functions:
        places = Places(function)
        writes = [
            write
            for node, scope in function.nodes()
            if isinstance(node, ast.Call) and (write := write_at(node, scope, places)) is not None
        ]
        if not writes:
            continue
        uses = Uses(function, writes)
        lost = [write for write in writes if places.is_lost(write.place) and not uses.consumed(write)]
        for write in lost:
            if not write.makes_directory or _holds_lost_files(write, writes, lost, uses):
                yield _finding(function, write)


def _holds_lost_files(directory: Write, writes: list[Write], lost: list[Write], uses: Uses) -> bool:
    """Whether the content of a directory is lost: files written there, or files of the caller."""
    inside = [
        write
        for write in writes
        if not write.makes_directory
        and (
            set(directory.place.names) & set(write.place.names)
            or (directory.place.text and write.place.text.startswith(directory.place.text))
        )
    ]
    if inside:
        return any(write in lost for write in inside)
    # An empty directory may be lost, unless it is the caller's; programs that are run may fill it.
    return not uses.runs_programs and not directory.place.text.startswith("/")


def _finding(function: GpuFunction, write: Write) -> Finding:
    called = ast.unparse(write.node.func)
    if len(called) > 40:
        called = "..." + called[called.rfind(".") :]
    what = "makes a directory" if write.makes_directory else "writes a file"
    return write.scope.tree.find(
        "PM101",
        write.node,
        f"{called} {what} in the GPU function {function.name}: it is lost with the container",
        "return the data and write the file where the result arrives; files that must stay remote go to a mounted "
        "Volume, scratch files to a temporary directory",
    )


RULE = Rule(
    code="PM101",
    level="error",
    title="A file is written in a GPU function",
    why="""
A container has its own disk, which is deleted with the container. The CSV, the figure or the checkpoint is written,
the run is paid for, and nothing arrives. `open(path, "w")` on a path of your machine fails after minutes instead,
since that directory doesn't exist there.
""",
    instead="""
Return the data: lists, dicts, numbers, arrays. Write the file where the result arrives: in a test with `save_csv`,
`save_figure` and `save_json`, in a script after `.remote()`. What should stay remote (a checkpoint of hours) goes to
a mounted `modal.Volume`. Temporary directories, in-memory buffers, library caches, reading, and files that the
function itself reads again are fine.
""",
    bad="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    import pandas as pd

    results = pd.DataFrame([{"input": problem, "output": solve(problem)} for problem in problems])
    results.to_csv("results.csv")
""",
    good="""
import modal

app = modal.App("evaluation")

@app.function(gpu="T4")
def evaluate(problems):
    return [{"input": problem, "output": solve(problem)} for problem in problems]

@app.local_entrypoint()
def main():
    import pandas as pd

    pd.DataFrame(evaluate.remote(["1 + 1 ="])).to_csv("results.csv")
""",
    check=check,
)
