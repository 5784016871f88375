"""The end of a run with gates: a table on the terminal and for GitHub, ``gates.json``, baselines written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_modal._pytest_compat import start_section
from pytest_modal.gate.judge.baseline_paths import DIRECTORY
from pytest_modal.gate.ledger import GateRecord, Ledger
from pytest_modal.gate.project import gates_of_project
from pytest_modal.gate.xdist import gates_of
from pytest_modal.local.output_dir import not_written_of, output_root
from pytest_modal.plan.selection import DESELECTED
from pytest_modal.report.terminal import Screen, write
from pytest_modal.run.xdist import controller_of
from pytest_modal.store.files import write_json
from pytest_modal.wording import first_few, safe, safe_line

SCHEMA = 1
INDEX = "gates.json"
_LONGEST_LINE = 1_000
_COLOURS = {"FAIL": "red", "PASS": "green", "IMPROVED": "green"}  # others are yellow


def close(session: pytest.Session, ledger: Ledger) -> None:
    """Write the baselines of tests that passed and the records of all gates; a gate left undecided fails the run."""
    if (controller := controller_of(session.config)) is not None:
        _take_over(gates_of(controller.shared), ledger)
    ledger.unconfirmed = [line for held in ledger.held.values() for line in held.lines]
    if ledger.unconfirmed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    _judge_together(session, ledger)
    _find_not_compared(session, ledger)
    if not ledger.write_baselines() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if ledger.records:
        record = {"schema": SCHEMA, "gates": [_public(each) for each in ledger.records], "together": ledger.joint}
        try:
            write_json(output_root(session.config) / INDEX, record)
            if path := os.environ.get("GITHUB_STEP_SUMMARY"):
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(markdown(ledger))
        except OSError as error:
            not_written_of(session.config).append(f"the records of the gates were not written: {error}")


def _judge_together(session: pytest.Session, ledger: Ledger) -> None:
    """Test all gates of the run together; it fails for them if no single gate did."""
    parts = [each.pooled for each in ledger.records if each.pooled is not None]
    if len(parts) < 2:
        return
    from pytest_modal.gate.judge.joint import joint_test

    joint = joint_test(parts)
    if joint is None:
        return
    if any(record.failed for record in ledger.records):
        ledger.joint = joint.summary
        return
    ledger.joint, ledger.joint_failed = joint.line, joint.worse
    if joint.worse and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _find_not_compared(session: pytest.Session, ledger: Ledger) -> None:
    """Find the gates with a baseline that were not compared because a test failed before it called them."""
    config = session.config
    cut_short = ledger.failed & ({record.test for record in ledger.records} | {*ledger.uncalled})
    narrowed = config.stash.get(DESELECTED, []) or any("::" in argument for argument in config.args)
    if not cut_short or narrowed:
        return
    directories = {config.rootpath.joinpath(test.partition("::")[0]).parent / DIRECTORY for test in cut_short}
    recorded = {name for directory in directories for name in gates_of_project(directory)}
    ledger.not_compared = sorted(recorded - {record.gate for record in ledger.records})


def _take_over(shared: Path, ledger: Ledger) -> None:
    """Add the tests that workers have held."""
    if not shared.is_dir():
        return
    from pytest_modal.gate.xdist import left_behind

    through = {record.test for record in ledger.records} | ledger.failed
    ledger.held |= {test: held for test, held in left_behind(shared).items() if test not in through}


def _public(record: GateRecord) -> dict[str, Any]:
    shown = {name: getattr(record, name) for name in ("gate", "test", "verdict", "failed", "compared", "baseline")}
    shown |= {"summary": record.line, "notes": record.shown_notes, "update": record.update}
    return {**shown, "result": record.result}


def show(screen: Screen, ledger: Ledger) -> None:
    """Write a line for each gate into the terminal summary, and how many compared anything."""
    if not (ledger.records or ledger.unconfirmed or ledger.uncalled):
        return
    start_section(screen, "accuracy gates")
    for line in ledger.unconfirmed:
        write(screen, f"{line}; its fresh rounds were not run, so it counts as failed", red=True)
    if ledger.joint is not None and ledger.joint_failed:
        write(screen, ledger.joint, red=True)
    for record in sorted(ledger.records, key=_urgency):
        _show_gate(screen, record)
    for line in _left_out(ledger):
        write(screen, line, yellow=True)
    if ledger.joint is not None and not ledger.joint_failed:
        write(screen, ledger.joint, green=True)
    for line in ledger.written:
        write(screen, line)
    write(screen, _totals(ledger))


def _show_gate(screen: Screen, record: GateRecord) -> None:
    write(screen, record.line, **{_COLOURS.get(record.verdict, "yellow"): True})
    for note in record.shown_notes:
        first, *others = note.splitlines()
        write(screen, f"  note: {first}", yellow=True)
        for line in others:
            # Tables are read down their columns.
            screen.write_line(safe(f"  {line}"))


def _urgency(record: GateRecord) -> int:
    """Return what is to be looked at first, by the smallest number."""
    return 0 if record.failed else 1 if record.verdict not in _COLOURS else 2


def _left_out(ledger: Ledger) -> list[str]:
    """Return lines about gates that compared nothing."""
    lines = [f"{test}: accuracy_gate requested, never called" for test in ledger.uncalled]
    if ledger.not_compared:
        lines.append(f"{len(ledger.not_compared):,} not compared: {first_few(map(safe_line, ledger.not_compared))}")
    return lines


def markdown(ledger: Ledger) -> str:
    """Return a table of all gates for the summary of a GitHub workflow."""
    lines = ["### Accuracy gates", "", "| gate | verdict | then | now | change | interval | p | worse, better |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for record in ledger.records:
        verdict = "first baseline" if ledger.is_recorded(record) else record.verdict
        cells = [_code(record.gate), verdict, *_figures(record)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", _totals(ledger)]
    together = [ledger.joint] if ledger.joint is not None else []
    lines += [f"- {_code(line)}" for line in [*together, *ledger.written, *ledger.unconfirmed, *_left_out(ledger)]]
    return "\n".join(lines) + "\n\n"


def _totals(ledger: Ledger) -> str:
    from pytest_modal.gate.judge.messages import totals_of

    return totals_of([record.compared for record in ledger.records], sum(map(ledger.is_recorded, ledger.records)))


def _figures(record: GateRecord) -> list[str]:
    result, change = record.result, record.result["change"]
    sign = 1 if result["demands"]["higher_is_better"] else -1

    def level(value: float) -> str:
        return f"{value:.4g}" if result["score"] else f"{100 * value:.1f}%"

    def signed(value: float | None) -> str:
        if value is None:
            return "?"
        return f"{sign * value:+.4g}" if result["score"] else f"{100 * value:+.1f}"

    if change is None:
        return ["none", level(result["accuracy"]), "", "", "", ""]
    low, high = change["interval"][::sign]
    moved = f"{result['newly_failing']:,}, {result['newly_passing']:,}"
    then, now = (level(sign * change[name]) for name in ("then", "now"))
    return [then, now, signed(change["change"]), f"[{signed(low)}, {signed(high)}]", f"{change['p']:.2g}", moved]


def _code(text: str) -> str:
    """Show text as it is, whatever it means to markdown."""
    plain = safe_line(text, _LONGEST_LINE).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"
