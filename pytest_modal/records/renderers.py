"""Renderers of a run's record: what is made from it when it is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_modal.records.forges import annotate, write_pages
from pytest_modal.report.record import Record


def render(config: pytest.Config, record: Record, previous: Record | None) -> Iterator[str]:
    """Make everything that is made from a record, and yield a line for each part that could not be written.

    Parameters
    ----------
    record : Record
        Of this run; its `ending` is "unfinished" while its tests are still to come.
    previous : Record or None
        The last one of the same tests, in the same mode.
    """
    yield from write_pages(config, record)
    annotate(config, record)
