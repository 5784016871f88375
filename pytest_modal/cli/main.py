"""The command ``pytest-modal``: check files, explain rules, list, show and compare runs, examine Modal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_modal.checks import cli as checks
from pytest_modal.wording import three_parts

_OUTPUT_DIR = "where tests write (default: PYTEST_MODAL_OUTPUT_DIR, the ini modal_output_dir, or modal_output)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        0 if all is well, 1 with findings or worse results, 2 when something can't be read or the command line is wrong,
        130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="pytest-modal",
        description="Find the classic mistakes of Modal code; list, show and compare runs; examine Modal.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checks.add_commands(commands)
    _add_compare(commands)
    runs = commands.add_parser("runs", help="list the runs of this project's GPU tests, the newest first")
    runs.add_argument("--json", action="store_true", help="print them as JSON")
    runs.add_argument("--output-dir", metavar="DIR", type=Path, help=_OUTPUT_DIR)
    report = commands.add_parser("report", help="write the page of a run from its record")
    run = "its id or the beginning of it, last, last~1, or a file such as modal_output/run.json (default: last)"
    report.add_argument("run", metavar="RUN", nargs="?", default="last", help=run)
    report.add_argument("--html", metavar="PATH", type=Path, help="the page (default: report.html where tests write)")
    report.add_argument("--output-dir", metavar="DIR", type=Path, help=_OUTPUT_DIR)
    _add_doctor(commands)
    given = parser.parse_args(arguments)
    try:
        status = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has read enough. Python would flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return status


def _run(given: argparse.Namespace) -> int:
    if given.command == "compare":
        return _compare(given)
    if given.command == "runs":
        from pytest_modal.cli.runs import list_runs

        return list_runs(given.output_dir, as_json=given.json)
    if given.command == "report":
        from pytest_modal.cli.report import write_report

        return write_report(given.run, given.output_dir, html=given.html)
    if given.command == "doctor":
        from pytest_modal.cli.doctor import examine

        output = Path(given.output)
        return examine(given.names, output, gpu=not given.no_gpu, local=given.local, seconds=given.limit)
    return checks.run(given)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = commands.add_parser(
        "compare",
        help="compare two runs; or two files of per-item results, as accuracy gates do, or directories of them",
    )
    run = "a run: its id or the beginning of it, last, last~1, or a file such as modal_output/run.json"
    results = "results: a baseline, CSV, JSONL, samples of lm-eval, a log of inspect_ai"
    compare.add_argument("before", metavar="A", help=f"{run}; or {results}")
    compare.add_argument(
        "after", metavar="B", help="another run; or results of the same items, later or by another model"
    )
    runs = compare.add_argument_group("two runs")
    runs.add_argument("--html", metavar="PATH", help="write a page that shows figures that differ side by side")
    runs.add_argument("--json", action="store_true", help="print all differences as JSON")
    runs.add_argument("--slower-fails", action="store_true", help="exit with 1 also if something takes twice as long")
    runs.add_argument("--output-dir", metavar="DIR", type=Path, help=_OUTPUT_DIR)
    files = compare.add_argument_group("two files of results")
    files.add_argument("--by", metavar="COLUMN", help="a column of categories, which are compared one by one too")
    files.add_argument(
        "--correct", metavar="NAME", help="the column, metric or scorer that says whether an item is right"
    )


def _compare(given: argparse.Namespace) -> int:
    # Statistics are heavy to import, and so are other parts: a command imports what it needs.
    from pytest_modal.cli.compare_runs import compare_two_runs, is_run

    runs = [is_run(each) for each in (given.before, given.after)]
    for_runs = [name for name in ("html", "json", "slower_fails") if getattr(given, name)]
    for_files = [name for name in ("by", "correct") if getattr(given, name) is not None]
    wrong = for_files if runs[0] else for_runs
    where = f"{given.before}, {given.after}"
    if runs[0] != runs[1]:
        remedy = "name two runs, or two files of results"
        print(three_parts("a run can't be compared with a file of results", where, remedy), file=sys.stderr)
        return 2
    if wrong:
        kind = "files of results" if runs[0] else "runs"
        what = f"--{wrong[0].replace('_', '-')} is for {kind}"
        print(three_parts(what, where, f"leave it out, or name two {kind}"), file=sys.stderr)
        return 2
    if not runs[0]:
        from pytest_modal.cli.compare import compare_paths

        return compare_paths(given.before, given.after, given.by, given.correct)
    return compare_two_runs(
        given.before,
        given.after,
        given.output_dir,
        html=given.html,
        as_json=given.json,
        slower_fails=given.slower_fails,
    )


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    file = "pytest-modal-doctor.json"
    what = "check what is assumed of Modal, with your account: about a minute, about a cent for a T4"
    doctor = commands.add_parser("doctor", help=what, description=what)
    doctor.add_argument("names", nargs="*", metavar="CHECK", help="checks to make, and what they need (default: all)")
    doctor.add_argument("--no-gpu", action="store_true", help="use CPU containers only, which cost next to nothing")
    doctor.add_argument("--output", metavar="FILE", default=file, help=f"file of the report (default: {file})")
    limit = "seconds that it may take, in which what is not known yet is given up (default: 240)"
    doctor.add_argument("--limit", type=_seconds, metavar="SECONDS", default=240.0, help=limit)
    local = "refuse any server but one of this machine, which MODAL_SERVER_URL names"
    doctor.add_argument("--local", action="store_true", help=local)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("use a number of seconds from 1 to 3600")
    return seconds
