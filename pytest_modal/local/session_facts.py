"""Facts of the run, for the fixture ``modal_session``."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.plan.state import results_of
from pytest_modal.store.results import Results
from pytest_modal.wording import count


def session_facts(config: pytest.Config) -> SessionFacts:
    """Return the facts of the run for the fixture ``modal_session``."""
    results = results_of(config)
    return facts(results) if results is not None else SessionFacts(settings_of(config).mode, None, None, ())


@dataclass(frozen=True)
class CallFacts:
    """Facts of one call: `gpu` is the device that it really ran on, `seconds` the time without model loads."""

    name: str
    gpu: str
    container: str
    seconds: float
    peak_memory: int | None


@dataclass(frozen=True)
class SessionFacts:
    """Facts of the run, as the fixture `modal_session` returns them."""

    mode: str
    app_id: str | None
    dashboard_url: str | None
    calls: tuple[CallFacts, ...]

    def __repr__(self) -> str:
        return f"<modal_session: {self.mode}, {count(len(self.calls), 'call')}>"


def facts(results: Results) -> SessionFacts:
    """Summarize a run for tests."""
    calls = tuple(
        CallFacts(label, outcome.device, outcome.container, outcome.seconds, outcome.peak_memory)
        for key, label in results.run.labels.items()
        if (outcome := results.outcomes.get(key)) is not None
    )
    app = results.run.app_of(0)
    return SessionFacts(results.mode, app.id if app else None, app.url if app else None, calls)
