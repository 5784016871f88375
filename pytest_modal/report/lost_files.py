"""Say which files calls wrote that are gone with their containers."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_modal.report.messages import safe
from pytest_modal.store import Results

SHOWN = 5  # files of one call


def lost_file_lines(results: Results) -> Iterator[str]:
    """Yield a line for each call that wrote files which are lost."""
    for call in results.batch.calls:
        outcome = results.outcomes.get(call.key)
        if outcome is None or not outcome.lost_files:
            continue
        names = ", ".join(outcome.lost_files[:SHOWN])
        more = f" and {len(outcome.lost_files) - SHOWN} more" if len(outcome.lost_files) > SHOWN else ""
        yield safe(
            f"modal: warning: {call.label} ({call.function.location}) wrote {names}{more}: lost with the container; "
            "return the data and write it in the test"
        )
