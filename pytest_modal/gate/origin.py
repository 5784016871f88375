"""Where an evaluation comes from: device, model and speed, from the calls of its test."""

from __future__ import annotations

import pytest

from pytest_modal.batch.calls import Call, Container, Data
from pytest_modal.declare.settings import settings_of
from pytest_modal.gate.judge.policy import Origin
from pytest_modal.plan.state import plan_of, results_of

_DIGITS = 8


def sends_calls(item: pytest.Item) -> bool:
    """Whether a test's results come from calls, which can be run again."""
    plan = plan_of(item)
    return plan is not None and bool(plan.calls)


def origin_of(item: pytest.Item, n: int) -> Origin:
    """Return where the results of a test were computed, by which models, and how many of `n` items a second."""
    plan, results = plan_of(item), results_of(item.config)
    if plan is None or results is None or not plan.calls:
        return Origin()
    calls = _calls_of(item)
    outcomes = [outcome for key in plan.calls.values() for outcome in results.of(key)]
    devices = dict.fromkeys(outcome.device for outcome in outcomes if outcome.device)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return Origin(
        gpu=", ".join(devices) or None,
        model=_models(calls, results.batch.containers) or None,
        speed=n / seconds if seconds > 0 else None,
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


def round_name(item: pytest.Item, number: int) -> str:
    """Name a round for people: the session, and which of its rounds."""
    results = results_of(item.config)
    session = "no session" if results is None else results.run.app_id or results.mode
    return f"{session}/{number + 1}"


def mode_option(item: pytest.Item) -> str:
    """Return the option that returns the same results for a test again, without a GPU where they are recorded."""
    settings = settings_of(item.config)
    if settings.mode == "replay" or (settings.record and not any(call.mocked for call in _calls_of(item))):
        return "--modal-mode=replay"
    return "--modal" if settings.mode == "modal" else ""
