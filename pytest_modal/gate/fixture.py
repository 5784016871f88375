"""The fixture ``accuracy_gate``: from a test's rows to a verdict, an error, or a baseline to be written."""

from __future__ import annotations

import datetime
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.body_runs import body_run_of
from pytest_modal.gate.judge import messages
from pytest_modal.gate.judge.baseline import Baseline
from pytest_modal.gate.judge.baseline_file import baseline_texts, read_baseline, same_items_elsewhere
from pytest_modal.gate.judge.baseline_paths import baseline_path, check_gate_name, find_baseline
from pytest_modal.gate.judge.errors import AccuracyRegression, AccuracyWarning
from pytest_modal.gate.judge.policy import Demands, Origin, Policy, check_demands
from pytest_modal.gate.judge.rows import Columns, Evaluation, pool, read_rows
from pytest_modal.gate.judge.update import plan_update
from pytest_modal.gate.judge.verdict import GateResult, judge
from pytest_modal.gate.ledger import RECORDS, GateRecord, NewBaseline, ledger_of
from pytest_modal.gate.origin import mode_option, origin_of, round_name, sends_calls
from pytest_modal.gate.xdist import claim, shared_directory
from pytest_modal.local.saver import Saver
from pytest_modal.plan.rounds import is_gated
from pytest_modal.wording import shown_path, three_parts

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test


@dataclass(frozen=True)
class _Case:
    """One use of a gate: what is judged, and against what.

    Attributes
    ----------
    found : Path or None
        The file of the baseline that is compared with.
    path : Path
        The file of a new one: another, if each device has its own baselines.
    """

    gate: str
    now: Evaluation
    found: Path | None
    path: Path
    baseline: Baseline | None
    demands: Demands
    origin: Origin


class AccuracyGate:
    """The value of the fixture.

    Parameters
    ----------
    item : pytest.Item
        The test.
    saver : Saver
        Writes into its ``output_dir``.
    """

    def __init__(self, item: pytest.Item, saver: Saver) -> None:
        self._item = item
        self._saver = saver
        self._used: set[str] = set()
        self._body_run = body_run_of(item)
        item.stash[RECORDS] = []

    def __repr__(self) -> str:
        return f"<accuracy_gate of {self._item.nodeid}>"

    def __call__(
        self,
        name: str,
        rows: object,
        *,
        id: str = Columns.id,
        correct: str = Columns.correct,
        input: str = Columns.input,
        output: str = Columns.output,
        cluster: str | None = None,
        min_accuracy: float | None = None,
        must_pass: Sequence[str] = (),
        min_drop: float = Demands.min_drop,
    ) -> GateResult:
        """Compare an evaluation with its committed baseline.

        Parameters
        ----------
        name : str
            Of the gate, and of its baseline ``baselines/<name>.jsonl`` beside the test's file. Each gate has its own.
        rows : list of dict or pandas.DataFrame
            One row per item.
        id, correct, input, output, cluster : str
            Names of columns. Without an ``input``, a column ``prompt``, ``question`` or ``problem`` is taken for it.
            ``correct`` is a bool, 0 or 1, or a score in [0, 1]; items of one ``cluster``, such as the questions about
            one text, are not independent.
        min_accuracy : float, optional
            The accuracy must not be below, with and without a baseline.
        must_pass : sequence of str
            Ids of items that must never fail.
        min_drop : float
            Smaller drops, as a share of the items, never fail.

        Raises
        ------
        AccuracyRegression
            The accuracy fell, is too low, or (in CI) there is no baseline.
        BaselineError
            The baseline is damaged, or its items are not those of the rows.
        ValueError
            The rows, the name or a demand are not valid.
        """
        test = self._item.nodeid
        try:
            gate = check_gate_name(name, test)
            self._claim(gate)
            demands = check_demands(gate, test, min_accuracy=min_accuracy, must_pass=must_pass, min_drop=min_drop)
            this = read_rows(rows, Columns(id, correct, input, output, cluster), gate, test)
            return self._judge(gate, this, demands)
        except (ValueError, AccuracyRegression) as error:
            # The traceback inside of the gate does not help.
            raise error.with_traceback(None) from None

    def _claim(self, gate: str) -> None:
        test, names = self._item.nodeid, ledger_of(self._item.config).names
        shared = shared_directory(self._item.config)
        other = names.setdefault(gate, test) if shared is None else claim(shared, gate, test)
        if gate not in self._used and other == test:
            self._used.add(gate)
            return
        what = f"the name of gate {gate!r} is already in use, by {'this test' if other == test else other}"
        remedy = 'give each gate its own name, with the parameter in it: accuracy_gate(f"{model}-arithmetic", ...)'
        raise ValueError(three_parts(what, test, remedy))

    def _judge(self, gate: str, this: Evaluation, demands: Demands) -> GateResult:
        current, settings = self._body_run, settings_of(self._item.config).gates
        rounds = [*current.rounds.get(gate, []), this]
        current.rounds[gate] = rounds
        now = pool(rounds, gate, self._item.nodeid) if current.last else this
        origin = origin_of(self._item, this.n)
        directory = self._item.path.parent
        found = find_baseline(directory, gate, origin.gpu)
        baseline = None if found is None else read_baseline(found, gate, self._item.nodeid)
        own = origin.gpu if settings.per_gpu else None
        target = baseline_path(directory, gate, own) if found is None or settings.per_gpu else found
        case = _Case(gate, now, found, target, baseline, demands, origin)
        result = judge(
            gate,
            now,
            baseline,
            demands=demands,
            policy=self._policy(),
            origin=origin,
            where=self._shown(found or target),
            test=self._item.nodeid,
        )
        if not current.last:
            return result
        return self._conclude(case, result)

    def _policy(self) -> Policy:
        settings, ledger = settings_of(self._item.config).gates, ledger_of(self._item.config)
        if ledger.gates is None:
            # A test that requests the gate by `getfixturevalue` is not known before it runs.
            ledger.gates = sum(is_gated(item) for item in self._item.session.items)
        return Policy(
            gates=max(1, ledger.gates),
            confirm=settings.confirm if sends_calls(self._item) else 0,
            strict=settings.strict,
            ci=settings.ci,
            updating=settings.updating,
            accept=settings.accept,
        )

    def _conclude(self, case: _Case, result: GateResult) -> GateResult:
        """Record the result of the gate, raise if it fails, and hold the test if fresh rounds are to decide."""
        flips = [] if case.baseline is None else messages.flips(case.now, case.baseline)
        csv = self._save(case.gate, flips)
        record = self._record(case, result)
        self._item.stash[RECORDS].append(record)
        if result.wants_confirmation and self._body_run.can_hold:
            self._body_run.suspicious.append(record.line)
            return result
        self._item.user_properties += messages.properties(result).items()
        missing: dict[str, Any] = {
            "mode": mode_option(self._item),
            "path": self._shown(case.path),
            "renamed_from": None,
        }
        if result.change is None and case.baseline is None:
            missing["renamed_from"] = self._renamed_from(case)
        if result.failed:
            raise AccuracyRegression(messages.failure(result, flips, test=self._item.nodeid, csv=csv, **missing))
        if case.baseline is None and not result.policy.updating:
            self._warn(messages.missing_baseline(result, test=self._item.nodeid, **missing))
        for note in record.notes:
            self._warn(note)
        return result

    def _record(self, case: _Case, result: GateResult) -> GateRecord:
        record = GateRecord(
            gate=case.gate,
            test=self._item.nodeid,
            verdict=str(result.verdict),
            failed=result.failed,
            compared=result.change is not None,
            line=messages.summary_line(result),
            # The speed varies: it is shown, without a warning.
            notes=messages.warnings_of(replace(result, speed_ratio=None)),
            remark=messages.unnoticed_inputs(case.now),
            result=json.loads(json.dumps(result.record())),
            baseline=None if case.found is None else self._shown(case.found),
        )
        if not result.policy.updating:
            return record
        update = plan_update(
            result,
            case.now,
            case.baseline,
            origin=case.origin,
            rounds=[*self._body_run.names, round_name(self._item, self._body_run.number)],
            date=datetime.date.today().isoformat(),
        )
        kept = update.baseline
        if kept is None and not update.refused and case.path != case.found:
            kept, update = (
                case.baseline,
                replace(update, note=f"{case.gate}: a separate baseline is recorded for {case.origin.gpu}"),
            )
        new = None if kept is None else NewBaseline(str(case.path), *baseline_texts(kept))
        notes = [*record.notes, *(messages.shortcomings(result.outlook, case.gate) if new else [])]
        return replace(record, update=update.note, new_baseline=new, notes=notes)

    def _save(self, gate: str, flips: Sequence[messages.Flip]) -> str | None:
        if not flips:
            return None
        name = f"{gate}.flips.csv"
        self._saver.csv(name, messages.flip_rows(flips))
        return self._shown(self._saver.directory / name)

    def _renamed_from(self, case: _Case) -> str | None:
        other = same_items_elsewhere(case.path, case.now.dataset)
        return None if other in ledger_of(self._item.config).names else other

    def _shown(self, path: Path) -> str:
        return shown_path(path, self._item.config.rootpath)

    def _warn(self, message: str) -> None:
        code: object = getattr(self._item, "function", None)
        path, line, _ = self._item.location
        lineno = code.__code__.co_firstlineno if hasattr(code, "__code__") else (line or 0) + 1
        warnings.warn_explicit(AccuracyWarning(message), None, str(self._item.config.rootpath / path), lineno)
