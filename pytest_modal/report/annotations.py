"""Annotations in a GitHub workflow: call errors and gates, at their lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pytest_modal.report.parts import failed_calls
from pytest_modal.report.record import CallEntry, GateEntry, Record, TestEntry
from pytest_modal.wording import count, first_few, safe, safe_line

MOST = 10  # of a kind and a step: GitHub drops what follows
_LONGEST = 4_000  # characters of an error
_UNDECIDED = ("CHANGED", "INCONCLUSIVE")


@dataclass(frozen=True)
class Annotation:
    """A message at a line; `path` is empty where that is not a file of the repository."""

    kind: str
    path: str
    line: int
    title: str
    message: str

    def command(self) -> str:
        """Return the workflow command, one line."""
        shown = {"file": self.path, "line": str(self.line)} if self.path else {}
        shown["title"] = safe_line(self.title)
        properties = ",".join(f"{name}={_property(value)}" for name, value in shown.items())
        return f"::{self.kind} {properties}::{_data(safe(self.message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@dataclass(frozen=True)
class Repository:
    """Where the files are that annotations name.

    Attributes
    ----------
    rootdir : Path
        What the paths of a record are relative to.
    workspace : Path
        The checked out repository, which may have the rootdir below it.
    """

    rootdir: Path
    workspace: Path

    def path(self, path: str) -> str:
        """Return a path as GitHub knows it; empty for a file elsewhere."""
        # Links are not followed: the repository has the link, and the workspace may be one.
        for rootdir, workspace in (
            (self.rootdir, self.workspace),
            (self.rootdir.resolve(), self.workspace.resolve()),
        ):
            whole = Path(os.path.normpath(rootdir / path))
            if path and path.isprintable() and whole.is_relative_to(workspace):
                return whole.relative_to(workspace).as_posix()
        return ""


def repository_of(rootdir: Path, variables: Mapping[str, str]) -> Repository | None:
    """Return the repository of a workflow; None where pytest runs elsewhere."""
    if variables.get("GITHUB_ACTIONS") != "true":
        return None
    return Repository(rootdir, Path(variables.get("GITHUB_WORKSPACE") or rootdir))


def commands(record: Record, repository: Repository, *, other_plugin: bool = False) -> list[str]:
    """Return the annotations of a run as workflow commands, the most important first.

    Parameters
    ----------
    other_plugin : bool
        Whether another plugin annotates the tests whose call failed, as those of gates do.
    """
    tests = {test["nodeid"]: test for test in record["tests"]}
    calls = _of_calls(record, tests, repository, other_plugin)
    gates = [] if other_plugin else [each for each in record["gates"] if each["failed"]]
    undecided = [each for each in record["gates"] if each["verdict"] in _UNDECIDED and not each["failed"]]
    # Many of one kind don't hide the other.
    pairs = zip_longest(calls, (_of_gate("error", each, tests, repository) for each in gates))
    errors = [each for pair in pairs for each in pair if each is not None]
    warnings = [_of_gate("warning", each, tests, repository) for each in undecided]
    return [each.command() for each in (*_first(errors), *_first(warnings))]


def _first(found: Sequence[Annotation]) -> list[Annotation]:
    """Return as many as are shown; the last stands for those that are not."""
    if len(found) <= MOST:
        return [*found]
    rest = found[MOST - 1 :]
    message = "\n".join(f"{each.title}: {_first_line(each.message)}" for each in rest)
    return [*found[: MOST - 1], Annotation(found[0].kind, "", 0, f"{len(rest):,} more", message)]


def _of_calls(
    record: Record, tests: Mapping[str, TestEntry], repository: Repository, other_plugin: bool
) -> list[Annotation]:
    """Return one for each cause, that of most tests first."""
    causes: dict[tuple[str, ...], list[CallEntry]] = {}
    for call in failed_calls(record):
        needing = [tests[nodeid] for nodeid in call["tests"] if nodeid in tests]
        told = other_plugin and needing and all(map(_failed_in_its_call, needing))
        if call["status"] == "dependency failed" or told:
            continue
        path, line = _place(call, needing)
        # Nothing in the code is at fault where the service is.
        service = call["status"] == "infrastructure"
        cause = ("", "0", _first_line(call["error"])) if service else (repository.path(path), line)
        causes.setdefault((call["status"], *cause), []).append(call)
    found = []
    for (status, path, line, *_), calls in causes.items():
        affected = dict.fromkeys(nodeid for call in calls for nodeid in call["tests"])
        more = f" and {count(len(calls) - 1, 'more call')}" if len(calls) > 1 else ""
        needed = f"\nneeded by {first_few(affected)}" if affected else ""
        title, message = f"{calls[0]['label']}{more}: {status}", calls[0]["error"].strip()[:_LONGEST]
        annotation = Annotation("error", path, int(line), title, message + needed)
        found.append((len(affected), annotation))
    return [annotation for _, annotation in sorted(found, key=lambda pair: -pair[0])]


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _place(call: CallEntry, needing: Iterable[TestEntry]) -> tuple[str, str]:
    """Return the file and line where a call failed, or else those of its function."""
    for test in needing:
        # A test with several calls may have failed for another one.
        if test["failed_at"] is not None and len(test["calls"]) == 1:
            return test["failed_at"][0], str(test["failed_at"][1])
    path, _, line = call["where"].rpartition(":")
    return path, line if line.isdecimal() else "1"


def _failed_in_its_call(test: TestEntry) -> bool:
    return any(phase["when"] == "call" and phase["outcome"] == "failed" for phase in test["phases"])


def _of_gate(kind: str, gate: GateEntry, tests: Mapping[str, TestEntry], repository: Repository) -> Annotation:
    test = tests.get(gate["test"])
    path, line = (repository.path(test["file"]), test["line"]) if test is not None else ("", 0)
    return Annotation(kind, path, line, f"accuracy gate {gate['gate']}", "\n".join([gate["line"], *gate["notes"]]))
