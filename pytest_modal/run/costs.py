"""Timings of runs on Modal in pytest's cache: what the next batch will cost is estimated from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_modal._pytest_compat import add_suite_property
from pytest_modal.batch.calls import Batch
from pytest_modal.batch.cost import Cost
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.prices import Prices
from pytest_modal.declare.settings import Settings, settings_of
from pytest_modal.store.results import Results

MEMORY = "pytest_modal/timings"


def timings_of(config: pytest.Config) -> Timings:
    """Return the timings of earlier runs on this machine."""
    cache = getattr(config, "cache", None)
    return Timings(cache.get(MEMORY, None) if cache is not None else None)


def remember_timings(config: pytest.Config, results: Results) -> None:
    """Keep the timings of a run, for the next one."""
    cache = getattr(config, "cache", None)
    if cache is None or results.run.cost is None:
        return
    ran = {key: outcome for key, outcome in results.outcomes.items() if key not in results.run.reused}
    # Another run may have kept some meanwhile.
    timings = timings_of(config)
    timings.note(results.batch, ran, results.run.cost)
    cache.set(MEMORY, timings.kept)


def with_what_is_left(settings: Settings, cost: Cost | None) -> Settings:
    """Return the settings of another session of a run that has cost so much already."""
    limit = settings.session.max_cost
    if limit is None or cost is None:
        return settings
    return replace(settings, session=replace(settings.session, max_cost=max(0.0, limit - cost.dollars)))


def add_to_junit(config: pytest.Config, cost: Cost) -> None:
    """Write into the JUnit report what a run has cost."""
    add_suite_property(config, "modal_cost", f"{cost.dollars:.4f}")
    add_suite_property(config, "modal_containers", cost.parts)


def estimate(config: pytest.Config, batch: Batch) -> Cost:
    """Return what a batch will cost on Modal."""
    return Prices(settings_of(config).session.prices).estimate(batch, timings_of(config))
