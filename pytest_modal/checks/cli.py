"""The commands ``pytest-modal check`` and ``pytest-modal explain``."""

from __future__ import annotations

import argparse
import difflib
import gc
import sys
from collections.abc import Sequence

from pytest_modal.checks.engine import check_path, python_files
from pytest_modal.checks.explain import explain, markdown, overview
from pytest_modal.checks.finding import Finding
from pytest_modal.checks.render import FORMATS, render, write
from pytest_modal.checks.rules import RULES
from pytest_modal.checks.script.source import UnreadableError
from pytest_modal.wording import count, safe_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands by itself.

    Returns
    -------
    int
        0 without findings, 1 with findings, 2 when something can't be read or the command line is wrong.
    """
    parser = argparse.ArgumentParser(prog="pytest-modal", description="Find the classic mistakes of Modal code.")
    add_commands(parser.add_subparsers(dest="command", required=True))
    return run(parser.parse_args(arguments))


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands about rules to a parser."""
    check = commands.add_parser("check", help="check files and directories; nothing in them is imported or run")
    check.add_argument("paths", nargs="+", metavar="PATH", help="a Python file, or a directory to search")
    check.add_argument("--format", choices=FORMATS, default="text", help="how findings are written (default: text)")
    rules = commands.add_parser("explain", help="explain a rule: why, and what to write instead")
    rules.add_argument("codes", nargs="*", metavar="CODE", help="such as PM101; all rules in short without one")
    rules.add_argument("--markdown", action="store_true", help="write the documentation page of all rules")


def run(given: argparse.Namespace) -> int:
    """Run one of the commands about rules; return its exit status."""
    if given.command == "check":
        # Syntax trees are many objects without garbage: collecting them meanwhile would take a third of the time.
        threshold = gc.get_threshold()
        gc.set_threshold(200_000)
        try:
            return _check(given.paths, given.format)
        finally:
            gc.set_threshold(*threshold)
    return _explain(given.codes, page=given.markdown)


def _check(paths: Sequence[str], style: str) -> int:
    findings: list[Finding] = []
    lines: dict[str, list[str]] = {}  # not the sources: their trees are large
    unreadable = checked = 0
    for path, named in python_files(paths):
        try:
            found, source = check_path(path, named=named)
        except UnreadableError as error:
            unreadable += 1
            print(safe_line(f"{path.as_posix()}: {error}", 2_000), file=sys.stderr)
            continue
        checked += 1
        if found and source is not None:
            findings += found
            lines[source.path] = source.lines
    write(render(findings, lines, style))
    if style == "text":
        print(f"{count(len(findings), 'finding')} in {count(checked, 'file')}", file=sys.stderr)
    if unreadable:
        return 2
    return 1 if findings else 0


def _explain(codes: Sequence[str], *, page: bool) -> int:
    if page:
        write(markdown())
        return 0
    unknown = [code for code in codes if code.upper() not in RULES]
    for code in unknown:
        close = difflib.get_close_matches(code.upper(), RULES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(RULES)}"
        print(f"unknown rule {code!r}: {hint}", file=sys.stderr)
    known = [explain(RULES[code.upper()]) for code in codes if code.upper() in RULES]
    write("\n".join(known) if codes else overview())
    return 2 if unknown else 0
