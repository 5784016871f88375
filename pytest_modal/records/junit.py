"""Properties of a run in JUnit reports."""

from __future__ import annotations

import pytest

from pytest_modal._pytest_compat import add_suite_property
from pytest_modal.records.building import Course
from pytest_modal.run.xdist import results_of_all


def add_to_junit(config: pytest.Config, course: Course) -> None:
    """Write into the JUnit report, if one is written, which run it is, where it was made and of which commit."""
    if config.getoption("xmlpath", None) is None:
        return
    results = results_of_all(config)
    values = {"run": course.id, "commit": course.commit.name}
    if course.commit.clean is not None:
        values["clean"] = str(course.commit.clean).lower()
    if results is not None:
        devices = dict.fromkeys(each.device for each in results.outcomes.values() if each.device)
        values["mode"], values["device"], values["seed"] = results.run.mode, ", ".join(devices), results.run.seed
        values["app"] = " ".join(app.id for app in results.run.apps)
    for name, value in values.items():
        if value:
            add_suite_property(config, f"modal_{name}", value)
