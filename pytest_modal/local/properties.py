"""Properties of a test in JUnit reports: the device that its calls used, seconds, memory, containers."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import pytest

from pytest_modal.batch.outcomes import Outcome


def call_properties(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Return the properties of a test that needs these calls; what is not known has none."""
    every = [*outcomes]
    peaks = [outcome.peak_memory for outcome in every if outcome.peak_memory is not None]
    loads = [load.seconds for outcome in every for load in outcome.loads]
    values = {
        "modal_device": _names(outcome.device for outcome in every),
        "modal_gpu": _names(outcome.given for outcome in every),
        "modal_container": _names(outcome.container for outcome in every),
        "modal_recorded": _names(outcome.recorded for outcome in every),
        "modal_seconds": f"{sum(outcome.seconds for outcome in every):.3f}",
        "modal_load_seconds": f"{sum(loads):.3f}" if loads else "",
        "modal_peak_memory_bytes": str(max(peaks)) if peaks else "",
    }
    return {name: value for name, value in values.items() if value}


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def set_properties(item: pytest.Item, properties: Mapping[str, str]) -> None:
    """Set properties of a test; those of an attempt before this one are replaced."""
    item.user_properties[:] = [*((name, value) for name, value in item.user_properties if name not in properties)]
    item.user_properties += (_property(name, value) for name, value in properties.items())


@functools.lru_cache(1000)
def _property(name: str, value: str) -> tuple[str, str]:
    # pytest keeps them for each report of each test, and most are the same for all tests.
    return name, value
