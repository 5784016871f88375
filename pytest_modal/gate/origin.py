"""Where an evaluation comes from: device, model, app and packages, from the calls of its test."""

from __future__ import annotations

import pytest

from pytest_modal.batch.calls import Call, Container, Data
from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.plan.state import plan_of, results_of
from pytest_modal.run.recording import recorded_rounds

RECORD = "--modal --modal-record"

_DIGITS = 8


def sends_calls(item: pytest.Item) -> bool:
    """Whether a test's results come from calls, which can be run again."""
    plan = plan_of(item)
    return plan is not None and bool(plan.calls)


def origin_of(item: pytest.Item) -> Origin:
    """Return where the results of a test were computed: on which devices, by which models, with which packages."""
    plan, results = plan_of(item), results_of(item.config)
    if plan is None or results is None or not plan.calls:
        return Origin()
    calls = _calls_of(item)
    outcomes = [outcome for key in plan.calls.values() for outcome in results.of(key)]
    devices = dict.fromkeys(outcome.device for outcome in outcomes if outcome.device)
    ran = [call for call in calls if call.key not in results.run.reused]
    app = results.run.app_of(ran[0].environment.round) if ran else None
    images = [results.batch.requirements.get(call.environment.image_group) for call in calls]
    return Origin(
        gpu=", ".join(devices) or None,
        model=_models(calls, results.batch.containers) or None,
        app=results.mode if app is None else app.id,
        packages=tuple(sorted({package for image in images if image is not None for package in image.packages})),
    )


def _calls_of(item: pytest.Item) -> list[Call]:
    plan, results = plan_of(item), results_of(item.config)
    if plan is None or results is None:
        return []
    keys = {part for key in plan.calls.values() for part in results.batch.parts(key)}
    return [call for call in results.batch.calls if call.key in keys]


def _models(calls: list[Call], containers: dict[str, Container]) -> str:
    """Name the container fixtures, and by a digest what was sent to them: parameters and weights."""
    names: dict[str, None] = {}
    for key in dict.fromkeys(key for call in calls for key in call.containers):
        node = containers[key]
        sent = [each for _, each in sorted(node.arguments.items())] + ([node.param] if node.param else [])
        digests = [each.digest[:_DIGITS] for each in sent if isinstance(each, Data)]
        names["@".join([node.own_label, *digests])] = None
    return ", ".join(names)


def mode_option(item: pytest.Item, rounds: int = 1) -> str:
    """Return the options that return the same results for a test again, without a GPU where they are recorded.

    Parameters
    ----------
    rounds : int
        How many have to be recorded.
    """
    settings = settings_of(item.config)
    recorded = 0
    if settings.mode == "replay":
        recorded = rounds_in_recordings(item)
    elif settings.record and not any(call.mocked for call in _calls_of(item)):
        recorded = settings.gates.rounds if settings.gates.updating else 1
    needed = min(rounds, settings.gates.rounds) if settings.gates.rounds_are_set else rounds
    if recorded and needed <= recorded:
        return "--modal-mode=replay"
    if settings.mode == "replay":
        return RECORD
    return "--modal" if settings.mode == "modal" else ""


def rounds_in_recordings(item: pytest.Item) -> int:
    """Return how many rounds of a test are recorded."""
    results = results_of(item.config)
    return 0 if results is None else recorded_rounds(results.batch, [item], item.config.rootpath)
