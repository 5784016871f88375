"""``pytest-modal doctor``: what is assumed of Modal, checked with the account that is configured here."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pytest_modal.checks.render import write
from pytest_modal.run.modal.doctor.check import Check, Line, State
from pytest_modal.run.modal.doctor.doctor import CHECKS, Doctor
from pytest_modal.run.modal.doctor.report import report
from pytest_modal.run.modal.doctor.visit import Options
from pytest_modal.store.files import write_json
from pytest_modal.wording import count, first_few, safe_line, three_parts

_WIDTHS = 60, 120  # of lines, at least and at most
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_INTERRUPTED = 130
_COLOURS = {"ok": "32", "differs": "33", "unknown": "33", "skipped": "2"}
_COLUMN = 24  # where sentences begin, behind the state and the name
_WORDS = {"differs": "not as assumed", "unknown": "not found out"}


def examine(names: Sequence[str], output: Path, *, gpu: bool, local: bool, seconds: float) -> int:
    """Make the checks, print a line for each, and write the report.

    Parameters
    ----------
    names : sequence of str
        Checks to make; empty for all.
    output : Path
        The file of the report.
    local : bool
        Whether to refuse any server but one of this machine.
    seconds : float
        How long it may take.

    Returns
    -------
    int
        0 if all is as assumed, 1 if not, 2 when the command line is wrong, 130 after Ctrl-C.
    """
    try:
        _check_command_line(names, output, local=local)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    costs = "about $0.01 for a T4" if gpu else "CPU containers only, well below $0.01"
    print(f"About a minute; {'a local server' if local else costs}. Ctrl-C keeps what is known.\n", flush=True)
    _write(f"{'':<10}{'check':<{_COLUMN - 10}}what was seen (what is assumed)\n")
    screen = _Screen()
    doctor = Doctor(Options(tuple(names), gpu, seconds), screen.show)
    complete = False
    try:
        asyncio.run(doctor.run())
        complete = True
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    finally:
        screen.close()
    data = report(doctor.lines, doctor.visit.private, complete=complete)
    try:
        write_json(output, data)
    except OSError as error:
        what = f"the report can't be written: {error.strerror}"
        print(three_parts(what, output, "name another file: --output"), file=sys.stderr)
        return 2
    print(_summary(doctor.lines, output, has_facts=bool(data["facts"])))
    if not complete:
        return _INTERRUPTED
    return int(any(line.found.state in _WORDS for line in doctor.lines))


def _check_command_line(names: Sequence[str], output: Path, *, local: bool) -> None:
    known = [check.name for check in CHECKS]
    if unknown := [name for name in names if name not in known]:
        what = f"there is no check {unknown[0]!r}"
        raise ValueError(three_parts(what, "the command line", f"use {', '.join(known)}"))
    url = os.environ.get("MODAL_SERVER_URL", "")
    if local and urlsplit(url).hostname not in _LOOPBACK:
        what = f"--local is for a server of this machine, and MODAL_SERVER_URL is {url!r}"
        raise ValueError(three_parts(what, "the command line", "set MODAL_SERVER_URL, or leave --local out"))
    if not output.absolute().parent.is_dir():
        what = f"the directory of {output} does not exist"
        raise ValueError(three_parts(what, "--output", "make the directory, or name another file"))
    try:
        if output.is_dir():
            raise ValueError(three_parts(f"{output} is a directory", "--output", "name a file"))
    except OSError as error:
        raise ValueError(three_parts(f"{output}: {error.strerror}", "--output", "name another file")) from None


class _Screen:
    """Lines on standard output; on a terminal in colours, and with what is still open below."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._coloured = self._terminal and not os.environ.get("NO_COLOR")
        self._skipped: defaultdict[str, list[str]] = defaultdict(list)

    def show(self, line: Line, left: Sequence[Check]) -> None:
        """Write a line, as soon as it is known; `left` are the checks that are still open."""
        found = line.found
        if found.state == "skipped":
            self._skipped[found.says].append(line.check.name)
            return
        lines = _wrapped(f"{safe_line(found.says, 600)} (assumed: {line.check.assumed})")
        if found.remedy:
            lines += _wrapped(f"what to do: {safe_line(found.remedy)}")
        self._clear()
        self._print(found.state, line.check.name, lines)
        if self._terminal and left:
            _write(f"          {first_few(check.name for check in left)} ..."[: _width() - 1])

    def close(self) -> None:
        """Write which checks were skipped, and why."""
        self._clear()
        for why, names in self._skipped.items():
            self._print("skipped", "", _wrapped(f"{', '.join(names)}: {safe_line(why)}"))

    def _print(self, state: State, name: str, lines: Sequence[str]) -> None:
        word = f"\x1b[{_COLOURS[state]}m{state}\x1b[0m" if self._coloured else state
        _write(f"{word}{' ' * (10 - len(state))}{name:<{_COLUMN - 10}}" + f"\n{' ' * _COLUMN}".join(lines) + "\n")

    def _clear(self) -> None:
        if self._terminal:
            _write("\r\x1b[K")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _width() - _COLUMN, break_on_hyphens=False)


def _width() -> int:
    least, most = _WIDTHS
    return max(least, min(most, shutil.get_terminal_size().columns))


def _summary(lines: Sequence[Line], output: Path, *, has_facts: bool) -> str:
    states = Counter(line.found.state for line in lines)
    parts = [f"{count(states['ok'], 'check')} as assumed"]
    for state, words in _WORDS.items():
        if names := [line.check.name for line in lines if line.found.state == state]:
            parts.append(f"{len(names)} {words} ({first_few(names)})")
    if states["skipped"]:
        parts.append(f"{states['skipped']} skipped")
    text = textwrap.fill(", ".join(parts), _width())
    text += f"\n{output} holds the report, without tokens and names"
    return f"{text};\nthe ini modal_facts = {output} has sessions go by it" if has_facts else text


def _write(text: str) -> None:
    write(text)
    sys.stdout.flush()
