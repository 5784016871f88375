"""Parts of pages in markdown: a run's gates, failures, cost and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modal.batch.cost import Cost, Used, about
from pytest_modal.batch.outcomes import NOT_FAILED
from pytest_modal.batch.quantities import duration, size
from pytest_modal.report.markdown import Section, block, code, heading, link, row, tag
from pytest_modal.report.numbers import level, level_of
from pytest_modal.report.record import FAILED, CallEntry, GateEntry, Record, TestEntry
from pytest_modal.report.timing_differences import steps_of
from pytest_modal.wording import count

# As a reader wants them: what needs attention first.
_OUTCOMES = ("failed", "error", "not finished", "xpassed", "passed", "skipped", "xfailed")
GATE_COLUMNS = ("gate", "verdict", "then", "now", "change", "interval", "p", "worse, better")
_LINES, _LONGEST = 60, 500  # of a failure that is shown
_SLOWEST = 5
_SHOWN_SECONDS = 0.05


def title(record: Record) -> str:
    """Return in a few words how the run went."""
    counted = record["outcomes"]
    names = [*_OUTCOMES, *sorted({*counted} - {*_OUTCOMES})]
    parts = [f"{counted[name]:,} {name}" for name in names if counted.get(name)]
    ending = "" if record["ending"] == "finished" else f"{record['ending']}: "
    return ending + (", ".join(parts) or "no tests")


def facts(record: Record) -> str:
    """Return one line about where the run was made, of which commit, in which time, for how much."""
    devices = dict.fromkeys(call["device"] for call in record["calls"] if call["device"])
    where = f"mode {code(record['mode'])}"
    parts = [f"{where} on {', '.join(map(code, devices))}" if devices else where]
    if record["commit"]:
        branch = f" of {code(record['branch'])}" if record["branch"] else ""
        changed = " with uncommitted changes" if record["clean"] is False else ""
        parts.append(f"commit {code(record['commit'][:12])}{branch}{changed}")
    parts.append(duration(record["seconds"]))
    if record["cost"] is not None:
        parts.append(amount(record))
    parts += [link(each["id"], each["url"]) for each in record["sessions"]]
    return " · ".join(parts)


def amount(record: Record) -> str:
    """Return what the run has cost; empty where nothing is paid."""
    cost = record["cost"]
    return "" if cost is None else about(cost["dollars"], complete=cost["complete"])


def problems(record: Record) -> Section:
    """Return the lines that need attention."""
    return Section("", [f"- :warning: {code(line, 2_000)}" for line in record["problems"]])


def gates(record: Record) -> list[Section]:
    """Return the table of all gates, and what is to be said of them."""
    lines = [*([record["together"]] if record["together"] is not None else []), *record["gate_lines"]]
    if not (record["gates"] or lines):
        return []
    rows = [row(_gate(each)) for each in record["gates"]]
    head = "\n".join(["### Accuracy gates", "", *(heading(GATE_COLUMNS) if rows else [])])
    totals = totals_of(
        [each["compared"] for each in record["gates"]], sum(each["recorded"] for each in record["gates"])
    )
    found = [Section(head, rows, totals, unit="gate")]
    if lines:
        found.append(Section("", [f"- {code(line, 1_000)}" for line in lines]))
    return found


def totals_of(compared: Sequence[bool], recorded: int = 0) -> str:
    """Return how many gates compared something: one that did not never counts as passed.

    Parameters
    ----------
    recorded : int
        How many of the others got their first baseline.
    """
    without = len(compared) - sum(compared) - recorded
    parts = [f"{sum(compared):,} gated"]
    parts += [f"{recorded:,} recorded for the first time"] if recorded else []
    parts += [f"{without:,} without baseline"] if without else []
    return ", ".join(parts)


def _gate(entry: GateEntry) -> list[str]:
    verdict = "first baseline" if entry["recorded"] else entry["verdict"]
    return [code(entry["gate"]), f"**{verdict}**" if entry["failed"] else verdict, *figures(entry["result"])]


def figures(result: dict[str, Any]) -> list[str]:
    """Return the cells of a gate's result: then, now, change, interval, p, how many items got worse and better."""
    change = result["change"]
    sign = 1 if result["demands"]["higher_is_better"] else -1

    def signed(value: float | None) -> str:
        if value is None:
            return "?"
        return f"{sign * value:+.4g}" if result["score"] else f"{100 * value:+.1f}"

    if change is None:
        return ["none", level_of(result), "", "", "", ""]
    low, high = change["interval"][::sign]
    moved = f"{result['newly_failing']:,}, {result['newly_passing']:,}"
    then, now = (level(sign * change[name], score=result["score"]) for name in ("then", "now"))
    return [then, now, signed(change["change"]), f"[{signed(low)}, {signed(high)}]", f"{change['p']:.2g}", moved]


def failed_tests(record: Record) -> list[TestEntry]:
    """Return the tests that failed."""
    return [test for test in record["tests"] if test["outcome"] in FAILED]


def failed_calls(record: Record) -> list[CallEntry]:
    """Return the calls without a result, in the order of the batch."""
    return [call for call in record["calls"] if call["status"] not in NOT_FAILED]


def failures(record: Record, *, whole: bool) -> Section:
    """Return the failed tests, and the failed calls of which no test tells.

    Parameters
    ----------
    whole : bool
        Whether tracebacks are shown, or a line each.
    """
    calls, shown = {call["key"]: call for call in failed_calls(record)}, set[str]()
    items = []
    for test in failed_tests(record):
        text = "\n\n".join(phase["text"] for phase in test["phases"] if phase["outcome"] == "failed" and phase["text"])
        own = [calls[key] for key in test["calls"] if key in calls]
        if "\n" not in text:  # a short style of tracebacks, or another test has shown it
            text = "\n\n".join([text, *(call["error"] for call in own if call["key"] not in shown)]).strip()
        shown |= {call["key"] for call in own}
        items.append(_failure(test["outcome"], test["nodeid"], test["message"], text if whole else ""))
    for key, call in calls.items():
        if key not in shown:
            message = call["error"].partition("\n")[0]
            items.append(_failure(call["status"], call["label"], message, call["error"] if whole else ""))
    return Section("### Failures" if items else "", items, between="\n\n" if whole else "\n", unit="failure")


def _failure(what: str, name: str, message: str, text: str) -> str:
    if "\n" not in text.strip():
        return f"- {what}: {code(name)}{f': {code(message)}' if message else ''}"
    summary = f"{what}: {tag(name)}{f': {tag(message)}' if message else ''}"
    shown = block(text, lines=_LINES, limit=_LONGEST)
    return f"<details><summary>{summary}</summary>\n\n{shown}\n\n</details>"


def cost(record: Record) -> Section:
    """Return what the run has cost, by GPU."""
    spent = record["cost"]
    if spent is None:
        return Section("")
    used = [Used(each["id"], "", each["gpu"], each["seconds"], each["dollars"]) for each in record["containers"]]
    lines = ["### Cost", "", f"{amount(record)}; {code(spent['prices'])}"]
    if used:
        lines += ["", *heading(("GPU", "containers", "seconds", "dollars"), right=(1, 2, 3))]
    for gpu in dict.fromkeys(each.gpu for each in used):
        whole = Cost(tuple(each for each in used if each.gpu == gpu), spent["prices"])
        seconds = sum(each.seconds for each in whole.containers)
        cells = (code(gpu) if gpu else "CPU", f"{len(whole.containers):,}", f"{seconds:,.1f}", whole.amount)
        lines.append(row(cells))
    return Section("\n".join(lines))


def _ran(record: Record) -> list[CallEntry]:
    return [call for call in record["calls"] if call["container"] and not (call["reused"] or call["recorded"])]


def times(record: Record) -> Section:
    """Return where the time went: what the session did, and what its containers did."""
    rows = [(code(what), seconds) for what, seconds in steps_of(record).items() if seconds >= _SHOWN_SECONDS]
    ran, loads = _ran(record), record["loads"]
    worked = {
        f"in containers: {count(len(loads), 'model load')}": sum(load["seconds"] for load in loads),
        f"in containers: {count(len(ran), 'call')}": sum(call["seconds"] for call in ran),
    }
    if record["containers"]:
        rest = sum(each["seconds"] for each in record["containers"]) - sum(worked.values())
        rows += [*worked.items(), ("in containers: starting and waiting", max(0.0, rest))]
    if not rows:
        return Section("")
    rows.append(("the whole run", record["seconds"]))
    lines = ["### Where the time went", "", *heading(("", "seconds"), right=(1,))]
    lines += [row((what, f"{seconds:,.1f}")) for what, seconds in rows]
    return Section("\n".join(lines))


def slowest(record: Record) -> Section:
    """Return the calls that took longest."""
    calls = sorted(_ran(record), key=lambda call: -call["seconds"])[:_SLOWEST]
    if not calls:
        return Section("")
    lines = ["### Slowest calls", "", *heading(("call", "device", "seconds", "peak memory"), right=(2, 3))]
    for call in calls:
        peak = "" if call["peak_memory"] is None else size(call["peak_memory"])
        lines.append(row((code(call["label"]), code(call["device"]), f"{call['seconds']:,.2f}", peak)))
    return Section("\n".join(lines))


def artifacts(record: Record) -> str:
    """Return in one line what the tests have written; empty if they wrote nothing."""
    found = record["artifacts"]
    if not found:
        return ""
    figures = sum(each["kind"] == "figure" for each in found)
    of_them = f", {count(figures, 'figure')} among them" if figures else ""
    return f"{count(len(found), 'artifact')}{of_them}: {size(sum(each['bytes'] for each in found))}"
