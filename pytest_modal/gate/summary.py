"""The end of a run with gates: a table on the terminal and for GitHub, ``gates.json``, baselines written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_modal._pytest_compat import start_section
from pytest_modal.gate.ledger import GateRecord, Ledger
from pytest_modal.gate.xdist import gates_of
from pytest_modal.local.output_dir import output_root
from pytest_modal.report.terminal import Screen
from pytest_modal.run.xdist import controller_of
from pytest_modal.store.files import write_json
from pytest_modal.wording import safe_line

SCHEMA = 1
INDEX = "gates.json"
_LONGEST_LINE = 1_000
_COLOURS = {"FAIL": "red", "PASS": "green", "IMPROVED": "green"}


def close(session: pytest.Session, ledger: Ledger) -> None:
    """Write the baselines of tests that passed and the records of all gates; a gate left undecided fails the run."""
    if (controller := controller_of(session.config)) is not None:
        _take_over(gates_of(controller.shared), ledger)
    ledger.unconfirmed = [line for held in ledger.held.values() for line in held.lines]
    if ledger.unconfirmed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    ledger.write_baselines()
    if ledger.records:
        record = {"schema": SCHEMA, "gates": [_public(each) for each in ledger.records]}
        write_json(output_root(session.config) / INDEX, record)
        if path := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(markdown(ledger))


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
    if not ledger.records and not ledger.unconfirmed:
        return
    start_section(screen, "accuracy gates")
    for record in ledger.records:
        colour = _COLOURS.get(record.verdict, "yellow")
        screen.write_line(record.line, **{colour: True})
        for note in record.shown_notes:
            screen.write_line(f"  note: {note}", yellow=True)
    for line in ledger.unconfirmed:
        screen.write_line(f"{line}; its fresh rounds were not run, so it counts as failed", red=True)
    for line in ledger.written:
        screen.write_line(line)
    screen.write_line(_totals(ledger))


def markdown(ledger: Ledger) -> str:
    """Return a table of all gates for the summary of a GitHub workflow."""
    lines = ["### Accuracy gates", "", "| gate | verdict | then | now | change, points | 95% interval | p |"]
    lines.append("|---|---|---|---|---|---|---|")
    for record in ledger.records:
        verdict = "first baseline" if ledger.is_recorded(record) else record.verdict
        cells = [_code(record.gate), verdict, *_figures(record)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", _totals(ledger)]
    lines += [f"- {_code(line)}" for line in [*ledger.written, *ledger.unconfirmed]]
    return "\n".join(lines) + "\n\n"


def _totals(ledger: Ledger) -> str:
    from pytest_modal.gate.judge.messages import totals_of

    return totals_of([record.compared for record in ledger.records], sum(map(ledger.is_recorded, ledger.records)))


def _figures(record: GateRecord) -> list[str]:
    change = record.result["change"]
    if change is None:
        return ["none", f"{100 * record.result['accuracy']:.1f}%", "", "", ""]
    low, high = (f"{100 * end:+.1f}" for end in change["interval"])
    then, now = (f"{100 * change[name]:.1f}%" for name in ("then", "now"))
    return [then, now, f"{100 * change['change']:+.1f}", f"[{low}, {high}]", f"{change['p']:.2g}"]


def _code(text: str) -> str:
    """Show text as it is, whatever it means to markdown."""
    plain = safe_line(text, _LONGEST_LINE).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"
