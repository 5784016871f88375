"""Metrics of a run for GitLab, which compares them with those of the target branch in a merge request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from pytest_modal.report.record import Record
from pytest_modal.wording import safe_line


def metrics(record: Record) -> str:
    """Return what a run measured in the text format of OpenMetrics."""
    return "".join(f"{line}\n" for line in (*_lines(record), "# EOF"))


def _lines(record: Record) -> Iterator[str]:
    gates = record["gates"]
    yield from _gauge("modal_gate_accuracy", {_gate(each["gate"]): each["result"]["accuracy"] for each in gates})
    changes = {_gate(each["gate"]): change for each in gates if (change := each["result"]["change"]) is not None}
    yield from _gauge("modal_gate_change", {labels: change["change"] for labels, change in changes.items()})
    yield from _gauge("modal_tests", {_labels(outcome=name): number for name, number in record["outcomes"].items()})
    statuses = Counter(call["status"] for call in record["calls"])
    yield from _gauge("modal_calls", {_labels(status=status): number for status, number in statuses.items()})
    gpus = defaultdict[str, float](float)
    for container in record["containers"]:
        gpus[_labels(gpu=container["gpu"])] += container["seconds"]
    yield from _gauge("modal_container_seconds", gpus)
    yield from _gauge("modal_run_seconds", {"": record["seconds"]})
    if record["cost"] is not None:
        yield from _gauge("modal_cost_dollars", {"": record["cost"]["dollars"]})


def _gauge(name: str, values: Mapping[str, float]) -> Iterator[str]:
    if values:
        yield f"# TYPE {name} gauge"
        yield from (f"{name}{labels} {value:.12g}" for labels, value in values.items())


def _gate(name: str) -> str:
    return _labels(gate=name)


def _labels(**labels: str) -> str:
    escaped = {name: safe_line(value).replace("\\", "\\\\").replace('"', '\\"') for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
