"""The fixture ``accuracy_gate``: from a test's rows to a verdict, an error, or a baseline to be written."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.body_runs import body_run_of
from pytest_modal.gate.entries import flip_entries, round_entries
from pytest_modal.gate.items import write_items
from pytest_modal.gate.judge import messages
from pytest_modal.gate.judge.baseline import Baseline, update_command
from pytest_modal.gate.judge.baseline_file import baseline_texts, read_baseline, same_items_elsewhere
from pytest_modal.gate.judge.baseline_paths import baseline_path, check_gate_name, find_baseline
from pytest_modal.gate.judge.errors import AccuracyRegression, AccuracyWarning, BaselineError
from pytest_modal.gate.judge.evaluation import Evaluation, pool
from pytest_modal.gate.judge.flips import Flip, flip_rows, flips, flips_between
from pytest_modal.gate.judge.joint import pooled
from pytest_modal.gate.judge.policy import Demands, Origin, Policy, check_demands
from pytest_modal.gate.judge.rows import Columns, read_rows
from pytest_modal.gate.judge.update import Update, plan_addition, plan_update
from pytest_modal.gate.judge.verdict import GateResult, judge, judge_arms
from pytest_modal.gate.ledger import CALLED, RECORDS, GateRecord, NewBaseline, ledger_of
from pytest_modal.gate.origin import RECORD, mode_option, origin_of, rounds_in_recordings, sends_calls
from pytest_modal.gate.project import gates_of_project
from pytest_modal.gate.xdist import claim, count_gates, shared_directory
from pytest_modal.local.output_dir import RUNS, make_root, output_root
from pytest_modal.local.properties import set_properties
from pytest_modal.local.saver import Saver
from pytest_modal.remote.masks import Masks, SecretNames
from pytest_modal.wording import count, shown_path, three_parts

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
    reference : Evaluation or None
        The other arm, if that is compared with instead.
    """

    gate: str
    now: Evaluation
    found: Path | None
    path: Path
    baseline: Baseline | None
    origin: Origin
    reference: Evaluation | None = None


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
        item.stash[RECORDS], item.stash[CALLED] = [], False

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
        by: str | None = None,
        score: str | None = None,
        higher_is_better: bool = True,
        reference: object = None,
        margin: float | None = None,
        min_accuracy: float | None = None,
        must_pass: Sequence[str] = (),
        min_drop: float | None = None,
    ) -> GateResult:
        """Compare an evaluation with its committed baseline, or with another arm of the same run.

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
        by : str, optional
            A column of categories, which are compared one by one too.
        score : str, optional
            A column of any real numbers that is compared instead of ``correct``; `min_drop` is then in its units.
        higher_is_better : bool
            False for errors, perplexities and the like.
        reference : list of dict or pandas.DataFrame, optional
            The same items by another arm of the same run, which is compared with instead of a baseline.
        margin : float, optional
            Against a reference: the gate fails unless a drop of that size is ruled out.
        min_accuracy : float, optional
            The accuracy must not be below, with and without a baseline.
        must_pass : sequence of str
            Ids of items that must be right in most rounds.
        min_drop : float, optional
            Smaller drops, as a share of the items, never fail; .005 by default.

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
        self._item.stash[CALLED] = True
        try:
            gate = check_gate_name(name, test)
            self._claim(gate)
            demands = check_demands(
                gate,
                test,
                min_accuracy=min_accuracy,
                must_pass=must_pass,
                min_drop=min_drop,
                score=score,
                higher_is_better=higher_is_better,
                reference=reference is not None,
                margin=margin,
            )
            columns = Columns(id, correct, input, output, cluster, by, score)
            subject = f"accuracy_gate {gate!r}"
            this = self._without_secrets(read_rows(rows, columns, subject, test))
            other = None
            if reference is not None:
                others = replace(columns, cluster=None, by=None)
                other = self._without_secrets(read_rows(reference, others, f"{subject}, reference", test))
            return self._judge(gate, this, other, demands)
        except (ValueError, AccuracyRegression) as error:
            # The traceback inside of the gate does not help.
            raise error.with_traceback(None) from None

    def _without_secrets(self, evaluation: Evaluation) -> Evaluation:
        """Return what may be shown and committed: a test can put anything into its rows."""
        names = SecretNames(settings_of(self._item.config).session.secret_variables)
        plain = Masks(names.among(os.environ.items())).plain
        return replace(evaluation, inputs=plain(evaluation.inputs), outputs=plain(evaluation.outputs))

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

    def _judge(self, gate: str, this: Evaluation, reference: Evaluation | None, demands: Demands) -> GateResult:
        now = self._all_rounds(gate, this)
        origin = origin_of(self._item)
        directory, per_gpu = self._item.path.parent, settings_of(self._item.config).gates.per_gpu
        if reference is not None:
            other = self._all_rounds(f"{gate} (reference)", reference)
            case = _Case(gate, now, None, baseline_path(directory, gate), None, origin, other)
            policy = replace(self._policy(), updating=False, adding=False)
            result = judge_arms(gate, now, other, demands=demands, policy=policy, test=self._item.nodeid)
            return self._conclude(case, result) if self._body_run.last else result
        found = find_baseline(directory, gate, origin.gpu)
        baseline = None
        if found is not None:
            baseline = read_baseline(found, gate, self._item.nodeid, self._item.config.rootpath)
        own = origin.gpu if per_gpu else None
        target = baseline_path(directory, gate, own) if found is None or per_gpu else found
        case = _Case(gate, now, found, target, baseline, origin)
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
        return self._conclude(case, result) if self._body_run.last else result

    def _all_rounds(self, name: str, this: Evaluation) -> Evaluation:
        """Return the rounds so far pooled, if the gate decides now; this one alone, if not."""
        current = self._body_run
        current.rounds[name] = [*current.rounds.get(name, []), this]
        return pool(current.rounds[name], f"accuracy_gate {name!r}", self._item.nodeid) if current.last else this

    def _policy(self) -> Policy:
        config = self._item.config
        settings, ledger, shared = settings_of(config).gates, ledger_of(config), shared_directory(config)
        if ledger.recorded is None:
            ledger.recorded = gates_of_project(config.rootpath)
        recorded = ledger.recorded
        return Policy(
            gates=len(recorded | {*ledger.names}) if shared is None else count_gates(shared, recorded),
            confirm=settings.confirm if sends_calls(self._item) else 0,
            strict=settings.strict,
            ci=settings.ci,
            updating=settings.updating,
            adding=settings.adding,
            accept=settings.accept,
        )

    def _conclude(self, case: _Case, result: GateResult) -> GateResult:
        """Record the result of the gate, raise if it fails, and hold the test if fresh rounds are to decide."""
        found: list[Flip] = []
        if case.reference is not None:
            found = flips_between(case.now, case.reference, result.demands)
        elif case.baseline is not None:
            found = flips(case.now, case.baseline, result.demands)
        csv = self._save(case.gate, found)
        record = replace(self._record(case, result), **self._kept(case, found))
        self._item.stash[RECORDS].append(record)
        if result.wants_confirmation and self._body_run.can_hold:
            self._body_run.suspicious.append(record.line)
            return result
        set_properties(self._item, messages.properties(result))
        missing: dict[str, Any] = {
            "mode": mode_option(self._item, 1 if case.baseline is None else case.baseline.k),
            "path": self._shown(case.path),
            "renamed_from": None,
        }
        if result.change is None and case.baseline is None:
            missing["renamed_from"] = self._renamed_from(case)
        if result.failed:
            raise AccuracyRegression(messages.failure(result, found, test=self._item.nodeid, csv=csv, **missing))
        nothing_compared = case.baseline is None and case.reference is None
        if nothing_compared and not (result.policy.updating or result.policy.adding):
            self._warn(messages.missing_baseline(result, test=self._item.nodeid, **missing))
        for note in record.notes:
            self._warn(note)
        return result

    def _kept(self, case: _Case, found: Sequence[Flip]) -> dict[str, Any]:
        """Return what the run's record holds besides the result."""
        items = ""
        if settings_of(self._item.config).runs:
            # What is lost is a comparison with a later run: a full disk fails no gate.
            with contextlib.suppress(OSError):
                make_root(root := output_root(self._item.config))
                items = write_items(root / RUNS, case.now)
        return {
            "rounds": round_entries(case.baseline),
            "flips": flip_entries(found),
            "flips_in_all": len(found),
            "items": items,
        }

    def _record(self, case: _Case, result: GateResult) -> GateRecord:
        record = GateRecord(
            gate=case.gate,
            test=self._item.nodeid,
            verdict=str(result.verdict),
            failed=result.failed,
            compared=result.change is not None,
            line=messages.summary_line(result),
            notes=messages.warnings_of(result),
            remarks=messages.remarks_of(result, case.now),
            result=json.loads(json.dumps(result.record())),
            baseline=None if case.found is None else self._shown(case.found),
            pooled=pooled(result),
        )
        if case.reference is not None or not (result.policy.updating or result.policy.adding):
            return record
        update = self._update(case, result)
        kept = update.baseline
        if kept is None and not update.refused and case.path != case.found:
            kept, update = (
                case.baseline,
                replace(update, note=f"{case.gate}: a separate baseline is recorded for {case.origin.gpu}"),
            )
        new = None if kept is None else NewBaseline(str(case.path), *baseline_texts(kept))
        notes = [*record.notes, *(messages.shortcomings(result.outlook, case.gate) if new else [])]
        return replace(record, update=update.note, new_baseline=new, notes=notes)

    def _update(self, case: _Case, result: GateResult) -> Update:
        settings, date = settings_of(self._item.config).gates, datetime.date.today().isoformat()
        if result.policy.adding:
            origin = self._body_run.origins[0] if self._body_run.origins else case.origin
            return plan_addition(result, case.now, case.baseline, origin=origin, date=date, most=settings.rounds)
        if not result.failed:
            self._check_rounds(case)
        return plan_update(result, case.now, case.baseline, origins=[*self._body_run.origins, case.origin], date=date)

    def _check_rounds(self, case: _Case) -> None:
        """Refuse to make a baseline of fewer rounds from a replay than the old one has, unless the project wants it.

        Raises
        ------
        BaselineError
            Too few rounds are recorded.
        """
        settings, now, old = settings_of(self._item.config), case.now.rounds, case.baseline
        if settings.mode != "replay" or old is None or now >= old.k:
            return
        if settings.gates.rounds_are_set and now >= settings.gates.rounds:
            return
        what = (
            f"gate {case.gate!r}: {count(now, 'round')} of {self._item.nodeid} "
            f"{'is' if rounds_in_recordings(self._item) == 1 else 'are'} recorded, but its baseline has {old.k:,}"
        )
        command = update_command(self._item.nodeid, RECORD)
        if settings.gates.accept is not None:
            command = messages.accept_command(self._item.nodeid, RECORD)
        remedy = f"record as many: {command}; or set modal_baseline_rounds = {now}"
        raise BaselineError(three_parts(what, self._shown(case.path), remedy))

    def _save(self, gate: str, found: Sequence[Flip]) -> str | None:
        if not found:
            return None
        name = f"{gate}.flips.csv"
        return self._shown(self._saver.plain_csv(name, flip_rows(found)))

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
