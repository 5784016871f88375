"""Causes of failures, the first one first: a call that failed for several tests is shown once."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass

from pytest_modal.batch.quantities import duration
from pytest_modal.report.html.gates import anchor_of
from pytest_modal.report.html.marks import Mark, of_call, of_test
from pytest_modal.report.html.tests import Section, label_of, link_of
from pytest_modal.report.html.text import Passage, Texts, cut, with_minus
from pytest_modal.report.record import FAILED, CallEntry, Record, TestEntry
from pytest_modal.wording import count

_TITLE, _NAME = 400, 200
_ERROR_LINE = re.compile(r"\AE(\s|$)")  # as pytest marks it
_OF_GATE = re.compile(r"\A[\w.]*AccuracyRegression: ")
_FRAME = re.compile(r'^  File "[^\n]*\n(?:    [^\n]*\n)*', re.MULTILINE)
_LOG = "\n\nThe end of the log:"
_REMOTE = re.compile(r"\n\n(?=Remote traceback\b)")


@dataclass(frozen=True)
class Failure:
    """A cause of failed tests.

    Attributes
    ----------
    facts : tuple of tuple
        Pairs of a word and what is said of it.
    tests : tuple of tuple
        Fragment and name of each test that it fails.
    gates : tuple of tuple
        Fragment and name of each gate that failed in these tests.
    error : Passage or None
        What is read first: the error without the code that met it; None where the title says all of it.
    """

    anchor: str
    mark: Mark
    title: str
    facts: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]
    gates: tuple[tuple[str, str], ...]
    error: Passage | None
    sections: tuple[Section, ...]


def failures_of(record: Record, texts: Texts) -> tuple[Failure, ...]:
    """Return what failed in the order of time."""
    calls = {call["key"]: call for call in record["calls"]}
    causes: dict[str, tuple[CallEntry | None, list[int]]] = {}
    for index, test in enumerate(record["tests"]):
        if test["outcome"] in FAILED:
            call = _cause(test, calls)
            causes.setdefault(call["error"] if call else f"test {index}", (call, []))[1].append(index)
    first = sorted(causes.values(), key=lambda cause: (_started(cause[0]), cause[1][0]))
    return tuple(_failure(number, record, cause, texts) for number, cause in enumerate(first, 1))


def _cause(test: TestEntry, calls: dict[str, CallEntry]) -> CallEntry | None:
    failed = [calls[key] for key in test["calls"] if key in calls and calls[key]["error"]]
    # What only waited for another call says less than that one.
    failed.sort(key=lambda call: (call["status"] == "dependency failed", _started(call)))
    return next(iter(failed), None)


def _started(call: CallEntry | None) -> float:
    return math.inf if call is None or call["started"] is None else call["started"]


def _failure(number: int, record: Record, cause: tuple[CallEntry | None, list[int]], texts: Texts) -> Failure:
    call, indices = cause
    first = record["tests"][indices[0]]
    tests = tuple((link_of(index), label_of(record["tests"][index])) for index in indices)
    mark = of_test(first["outcome"])
    title = cut(first["message"] or f"{first['nodeid']} {first['outcome']}", _TITLE)
    gates = _gates(record, {record["tests"][index]["nodeid"] for index in indices}) if call is None else ()
    if gates:
        title = with_minus(_OF_GATE.sub("", title))
    facts, sections = [], list[Section]()

    def show(name: str, text: str) -> None:
        passage: Passage | None = texts.passage(text)
        if passage is not None:
            sections.append(Section(name, passage))

    if call is not None:
        mark = of_call(call["status"])
        facts = [
            ("Call", call["label"]),
            ("Function", f"{call['function']}, {call['where']}"),
            ("Ran", _ran(call)),
        ]
        happened, *traceback = _REMOTE.split(call["error"], maxsplit=1)
        error = texts.passage("\n\n".join([*filter(None, map(_exception_in, traceback)), happened]))
        show("Remote traceback", "".join(traceback))
        show("Output of the call", call["printed"])
    else:
        if first["failed_at"] is not None:
            facts = [("Failed at", f"{first['failed_at'][0]}:{first['failed_at'][1]}")]
        failed = next((phase["text"] for phase in first["phases"] if phase["outcome"] == "failed"), "")
        error = texts.passage(_error_in(failed, title, of_gate=bool(gates)))
    for phase in first["phases"]:
        told = call is not None and (not phase["text"] or call["error"].strip() in phase["text"])
        if phase["outcome"] == "failed" and not told:
            show(f"Traceback of the {phase['when']}" if phase["when"] != "call" else "Traceback", phase["text"])
        for name, text in phase["sections"]:
            if call is None or text.strip() not in (call["printed"].strip(), call["error"].strip()):
                show(name, text)
    anchor = f"failure-{number}"
    return Failure(anchor, mark, title, tuple(facts), tests, gates, error, tuple(sections))


def _gates(record: Record, nodeids: set[str]) -> tuple[tuple[str, str], ...]:
    failed = [(index, gate) for index, gate in enumerate(record["gates"]) if gate["failed"]]
    return tuple((anchor_of(index), cut(gate["gate"], _NAME)) for index, gate in failed if gate["test"] in nodeids)


def _exception_in(remote: str) -> str:
    """Return the exception at the end of a remote traceback; empty where it is one line, as in the title."""
    said = remote.partition(_LOG)[0]
    frames = [*_FRAME.finditer(said)]
    exception = said[frames[-1].end() :].strip("\n") if frames else ""
    lines = [_ERROR_LINE.sub("", line, count=1) for line in exception.split("\n")]
    return "\n".join(lines) if len(lines) > 1 else ""


def _error_in(traceback: str, title: str, *, of_gate: bool) -> str:
    """Return the last error of a traceback as pytest shows it, without the title; empty if there is no more to say."""
    lines = traceback.split("\n")
    marked = [index for index, line in enumerate(lines) if _ERROR_LINE.match(line)]
    if not marked:
        return ""
    first = last = marked[-1]
    while first > 0 and _ERROR_LINE.match(lines[first - 1]):
        first -= 1
    error = textwrap.dedent("\n".join(line[1:] for line in lines[first : last + 1])).strip("\n")
    start, _, rest = error.partition("\n")
    if of_gate:
        return textwrap.dedent(rest) if with_minus(_OF_GATE.sub("", start)) == title else error
    return "" if error == title else error


def _ran(call: CallEntry) -> str:
    parts = [call["device"] or call["environment"], f"{duration(call['seconds'])} until it {_ended(call['status'])}"]
    if call["attempts"] > 1:
        parts.append(count(call["attempts"], "attempt"))
    if call["container"]:
        parts.append(f"container {call['container']}")
    return " · ".join(parts)


def _ended(status: str) -> str:
    return status if status in ("raised", "timed out", "crashed") else "ended"
