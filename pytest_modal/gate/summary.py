"""The end of a run with gates: a table on the terminal, ``gates.json``, baselines written."""

from __future__ import annotations

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
from pytest_modal.report.parts import totals_of
from pytest_modal.report.terminal import Screen, write
from pytest_modal.run.xdist import controller_of
from pytest_modal.store.files import write_json
from pytest_modal.wording import safe

SCHEMA = 1
INDEX = "gates.json"
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
    if not cut_short or config.stash.get(DESELECTED, []):
        return
    directories = {config.rootpath.joinpath(test.partition("::")[0]).parent for test in cut_short}
    # Tests of a directory share its baselines, and only together do they use all of them.
    given = [Path(config.invocation_params.dir, argument) for argument in config.args]
    whole = [each for each in directories if any(each == path or path in each.parents for path in given)]
    recorded = {name for directory in whole for name in gates_of_project(directory / DIRECTORY)}
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
    for line in ledger.left_out:
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


def _totals(ledger: Ledger) -> str:
    return totals_of([record.compared for record in ledger.records], sum(map(ledger.is_recorded, ledger.records)))
