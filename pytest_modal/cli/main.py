"""The command ``pytest-modal``: check files, explain rules, compare results."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pytest_modal.checks import cli as checks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns
    -------
    int
        0 if all is well, 1 with findings or worse results, 2 when something can't be read or the command line is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="pytest-modal", description="Find the classic mistakes of Modal code; compare per-item results."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    checks.add_commands(commands)
    compare = commands.add_parser(
        "compare", help="compare two files of per-item results, as accuracy gates do; or two directories of them"
    )
    compare.add_argument("before", metavar="A", help="a baseline, CSV, JSONL, samples of lm-eval, a log of inspect_ai")
    compare.add_argument("after", metavar="B", help="the same items, later or by another model")
    compare.add_argument("--by", metavar="COLUMN", help="a column of categories, which are compared one by one too")
    compare.add_argument(
        "--correct", metavar="NAME", help="the column, metric or scorer that says whether an item is right"
    )
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
        # Statistics are heavy to import, and the other commands don't need them.
        from pytest_modal.cli.compare import compare_paths

        return compare_paths(given.before, given.after, given.by, given.correct)
    return checks.run(given)
