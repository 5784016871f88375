"""Properties of a test in JUnit reports: the device that its calls used, seconds, memory, containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from pytest_modal.batch.outcomes import Outcome


def call_properties(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Return the properties of a test that needs these calls; what is not known has none."""
    every = [*outcomes]
    peaks = [outcome.peak_memory for outcome in every if outcome.peak_memory is not None]
    loads = [load.seconds for outcome in every for load in outcome.loads]
    values = {
        "device": _names(outcome.device for outcome in every),
        "gpu": _names(outcome.given for outcome in every),
        "container": _names(outcome.container for outcome in every),
        "recorded": _names(outcome.recorded for outcome in every),
        "seconds": f"{sum(outcome.seconds for outcome in every):.3f}",
        "load_seconds": f"{sum(loads):.3f}" if loads else "",
        "peak_memory_bytes": str(max(peaks)) if peaks else "",
    }
    return {f"modal_{name}": value for name, value in values.items() if value}


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def set_properties(item: pytest.Item, properties: Mapping[str, str]) -> None:
    """Set properties of a test; those of an attempt before this one are replaced."""
    item.user_properties[:] = [*((name, value) for name, value in item.user_properties if name not in properties)]
    item.user_properties += properties.items()
