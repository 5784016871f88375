"""Properties of a run in JUnit reports."""

from __future__ import annotations

from pytest_modal.report.record import Record


def suite_properties(record: Record) -> dict[str, str]:
    """Return the properties of the test suite; what is not known has none."""
    devices = dict.fromkeys(call["device"] for call in record["calls"] if call["device"])
    values = {
        "run": record["id"],
        "mode": record["mode"],
        "app": " ".join(session["id"] for session in record["sessions"]),
        "device": ", ".join(devices),
        "commit": record["commit"],
        "clean": "" if record["clean"] is None else str(record["clean"]).lower(),
        "seed": record["seed"],
        "together": record["together"] or "",
    }
    return {f"modal_{name}": value for name, value in values.items() if value}
