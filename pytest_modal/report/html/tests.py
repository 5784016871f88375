"""The tests of the page: outcome, calls, output, and the files that each has written."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from pytest_modal.batch.quantities import duration, size
from pytest_modal.report.html.artifacts import File, Files
from pytest_modal.report.html.marks import Mark, in_order, of_call, of_test
from pytest_modal.report.html.text import Passage, Texts, cut, with_minus
from pytest_modal.report.record import FAILED, ArtifactEntry, CallEntry, Record, TestEntry
from pytest_modal.wording import count

MOST_OPEN = 3  # of the tests that did not fail: those with something to look at
MOST_TOLD = 5  # calls whose output is shown with another test
MOST_CALLS = 100  # of a test in its table; the slowest and those that failed are shown
_NAME, _LINE = 300, 400


@dataclass(frozen=True, slots=True)
class Section:
    """A text with a heading."""

    name: str
    text: Passage


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call of a test."""

    label: str
    mark: Mark
    note: str
    device: str
    time: str
    seconds: float
    memory: str
    where: str


@dataclass(frozen=True, slots=True)
class Test:
    """A test.

    Attributes
    ----------
    anchor : str
        The fragment that leads to it; it ends with the place in the order in which tests ran, from 1.
    place : str
        Where it is defined.
    is_failed : bool
        Whether it failed, in its call or around it.
    tags : tuple of str
        What of it can be seen.
    seconds : float
        Of the test and of its calls; `time` has both, and `width` is that of its bar.
    calls_in_all : str
        How many there are; `calls` are some of them if `are_some`.
    shown_elsewhere : tuple of tuple
        Of calls whose output is shown with an earlier test: label, fragment and name of that test.
    open : bool
        Whether it is shown open.
    """

    anchor: str
    name: str
    place: str
    mark: Mark
    is_failed: bool
    message: str
    time: str
    seconds: float
    width: str
    tags: tuple[str, ...]
    files: tuple[File, ...]
    calls: tuple[CallRow, ...]
    calls_in_all: str
    are_some: bool
    sections: tuple[Section, ...]
    shown_elsewhere: tuple[tuple[str, str, str], ...]
    open: bool = False

    @property
    def pictures(self) -> list[File]:
        """Its figures that are seen in the page."""
        return [file for file in self.files if file.is_picture]


def link_of(index: int) -> str:
    """Return the fragment of the test with that number."""
    return f"test-{index + 1}"


def label_of(test: TestEntry) -> str:
    """Return the name of a test without its file."""
    return cut(test["nodeid"].partition("::")[2] or test["nodeid"], _NAME)


def tests_of(record: Record, files: Files, texts: Texts) -> tuple[Test, ...]:
    """Return the tests of a run: those that failed first where any did, else in their order."""
    calls = {call["key"]: call for call in record["calls"]}
    written: dict[str, list[ArtifactEntry]] = defaultdict(list)
    for artifact in record["artifacts"]:
        written[artifact["test"]].append(artifact)
    used = [[calls[key] for key in test["calls"] if key in calls] for test in record["tests"]]
    spent = [sum(call["seconds"] for call in mine if not (call["reused"] or call["recorded"])) for mine in used]
    sums = [test["seconds"] + of_calls for test, of_calls in zip(record["tests"], spent, strict=True)]
    longest = max(sums, default=0) or 1
    found = []
    printed: dict[str, tuple[str, str]] = {}  # by the key of a call: the test that shows its output
    for index, test in enumerate(record["tests"]):
        mine = used[index]
        shown = [files.show(each) for each in written[test["nodeid"]]] if test["nodeid"] in written else []
        # Figures come first, then tables, then the rest.
        shown.sort(key=lambda file: (file.image is None, file.table is None))
        anchor, name, file = link_of(index), label_of(test), cut(test["file"], _NAME)
        told = [(cut(call["label"], 120), *printed[call["key"]]) for call in mine if call["key"] in printed]
        mine_alone = [call for call in mine if call["printed"] and call["key"] not in printed]
        printed |= {call["key"]: (anchor, name) for call in mine_alone}
        failed, message = test["outcome"] in FAILED, cut(test["message"], _LINE)
        found.append(
            Test(
                anchor=anchor,
                name=name,
                place=f"{file}:{test['line']}",
                mark=of_test(test["outcome"]),
                is_failed=failed,
                message=with_minus(message) if failed else message,
                time=duration(test["seconds"]) + (f", calls {duration(spent[index])}" if spent[index] else ""),
                seconds=sums[index],
                width=f"{100 * sums[index] / longest:.1f}%",
                tags=tuple(_tags(shown, mine)),
                files=tuple(replace(each, anchor=f"{anchor}-file-{at}") for at, each in enumerate(shown, 1)),
                calls=tuple(_row(call) for call in _chosen(mine)),
                calls_in_all=count(len(mine), "call"),
                are_some=len(mine) > MOST_CALLS,
                sections=tuple(_sections(test, mine_alone, texts)),
                shown_elsewhere=tuple(told[:MOST_TOLD]),
            )
        )
    return _opened(found)


def _opened(tests: list[Test]) -> tuple[Test, ...]:
    """Return tests in the order of the page, those open that are looked at first."""
    if any(test.is_failed for test in tests):
        order = in_order({test.mark for test in tests})
        tests = sorted(tests, key=lambda test: order.index(test.mark))
    first = [test.anchor for test in tests if not test.is_failed and test.pictures][:MOST_OPEN]
    return tuple(replace(test, open=True) if test.is_failed or test.anchor in first else test for test in tests)


def files_without_test(record: Record, files: Files) -> tuple[File, ...]:
    """Return the files of tests that the record does not have."""
    known = {test["nodeid"] for test in record["tests"]}
    return tuple(files.show(each) for each in record["artifacts"] if each["test"] not in known)


def _tags(files: list[File], calls: list[CallEntry]) -> list[str]:
    figures = sum(file.is_figure for file in files)
    tables = sum(file.table is not None for file in files)
    others = len(files) - figures - tables
    tags = [(figures, "figure"), (tables, "table"), (others, "file"), (len(calls), "call")]
    return [count(number, noun) for number, noun in tags if number]


def _chosen(calls: list[CallEntry]) -> list[CallEntry]:
    if len(calls) <= MOST_CALLS:
        return calls
    return sorted(calls, key=lambda call: (not call["error"], -call["seconds"]))[:MOST_CALLS]


def _row(call: CallEntry) -> CallRow:
    notes = []
    if call["reused"]:
        notes.append("reused")
    if call["recorded"]:
        notes.append(f"recorded {cut(call['recorded'], 40)}")
    if call["attempts"] > 1:
        notes.append(count(call["attempts"], "attempt"))
    return CallRow(
        label=cut(call["label"], _NAME),
        mark=of_call(call["status"]),
        note=", ".join(notes),
        device=cut(call["device"], 80),
        time=duration(call["seconds"]),
        seconds=call["seconds"],
        memory="" if call["peak_memory"] is None else size(call["peak_memory"]),
        where=cut(call["where"], _NAME),
    )


def _sections(test: TestEntry, calls: list[CallEntry], texts: Texts) -> list[Section]:
    """Return the outputs of a test and its calls; tracebacks of failures are shown with what failed."""
    named = []
    for phase in test["phases"]:
        if phase["outcome"] == "skipped" and phase["text"].strip() != test["message"].strip():
            named.append(("Reason", phase["text"]))
        if test["outcome"] not in FAILED:
            named += phase["sections"]
    named += [(f"Output of {cut(call['label'], 120)}", call["printed"]) for call in calls if not call["error"]]
    passages = [(cut(name, 160), texts.passage(text)) for name, text in named]
    return [Section(name, text) for name, text in passages if text is not None]
