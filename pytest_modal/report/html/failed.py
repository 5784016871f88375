"""Causes of failures, the first one first: a call that failed for several tests is shown once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_modal.report.html.marks import Mark, of_call, of_test
from pytest_modal.report.html.tests import Section, label_of, link_of
from pytest_modal.report.html.text import Passage, Texts, cut
from pytest_modal.report.numbers import seconds
from pytest_modal.report.record import CallEntry, Record, TestEntry
from pytest_modal.wording import count

FAILED = ("failed", "error")
_TITLE = 400


@dataclass(frozen=True)
class Failure:
    """A cause of failed tests.

    Attributes
    ----------
    facts : tuple of tuple
        Pairs of a word and what is said of it.
    tests : tuple of tuple
        Fragment and name of each test that it fails.
    """

    anchor: str
    mark: Mark
    title: str
    facts: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, str], ...]
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
    title = first["message"] or f"{first['nodeid']} {first['outcome']}"
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
        show("Remote traceback" if "traceback" in call["error"] else "What happened", call["error"])
        show("Output of the call", call["printed"])
    elif first["failed_at"] is not None:
        facts = [("Failed at", f"{first['failed_at'][0]}:{first['failed_at'][1]}")]
    for phase in first["phases"]:
        told = call is not None and (not phase["text"] or call["error"].strip() in phase["text"])
        if phase["outcome"] == "failed" and not told:
            show(f"Traceback of the {phase['when']}" if phase["when"] != "call" else "Traceback", phase["text"])
        for name, text in phase["sections"]:
            if call is None or text.strip() not in (call["printed"].strip(), call["error"].strip()):
                show(name, text)
    return Failure(f"failure-{number}", mark, cut(title, _TITLE), tuple(facts), tests, tuple(sections))


def _ran(call: CallEntry) -> str:
    parts = [call["device"] or call["environment"], f"{seconds(call['seconds'])} until it {_ended(call['status'])}"]
    if call["attempts"] > 1:
        parts.append(count(call["attempts"], "attempt"))
    if call["container"]:
        parts.append(f"container {call['container']}")
    return " · ".join(parts)


def _ended(status: str) -> str:
    return status if status in ("raised", "timed out", "crashed") else "ended"
