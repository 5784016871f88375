"""Devices, and what ran on each of them."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_modal.batch.quantities import duration, size
from pytest_modal.report.html.text import cut
from pytest_modal.report.record import CallEntry, MachineEntry, Record

_LABEL = 160


@dataclass(frozen=True)
class Device:
    """A device with what it did, and the machine that says so."""

    name: str
    calls: int
    tests: int
    seconds: float
    time: str
    peak: str
    peak_bytes: int
    environments: tuple[str, ...]
    machine: tuple[tuple[str, str], ...]


def devices_in(record: Record) -> tuple[Device, ...]:
    """Return the devices of a run, the busiest first."""
    machines = {each["id"]: each["machine"] for each in record["containers"]}
    groups: dict[str, list[CallEntry]] = {}
    for call in record["calls"]:
        groups.setdefault(call["device"] or "no device", []).append(call)
    found = [_device(name, calls, machines) for name, calls in groups.items()]
    return tuple(sorted(found, key=lambda device: (device.name == "no device", -device.seconds)))


def _device(name: str, calls: list[CallEntry], machines: dict[str, MachineEntry | None]) -> Device:
    machine = next((found for call in calls if (found := machines.get(call["container"]))), None)
    peak = max((call["peak_memory"] or 0 for call in calls), default=0)
    time = sum(call["seconds"] for call in calls)
    return Device(
        name=cut(name, _LABEL),
        calls=len(calls),
        tests=len({test for call in calls for test in call["tests"]}),
        seconds=time,
        time=duration(time),
        peak=size(peak) if peak else "",
        peak_bytes=peak,
        environments=tuple(sorted({cut(call["environment"], _LABEL) for call in calls if call["environment"]})),
        machine=tuple(_said(machine)) if machine else (),
    )


def _said(machine: MachineEntry) -> list[tuple[str, str]]:
    words = [
        ("Python", machine["python"]),
        ("torch", machine["torch"]),
        ("CUDA", machine["cuda"]),
        ("driver", machine["driver"]),
    ]
    memory = [("memory", size(machine["memory"]))] if machine["memory"] else []
    return [(word, cut(said, 80)) for word, said in words if said] + memory
