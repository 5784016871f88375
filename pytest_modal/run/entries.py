"""Entries of the run's record that only the process knows which ran the batch: calls, loads, containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modal.batch.calls import Call
from pytest_modal.batch.cost import Used
from pytest_modal.batch.outcomes import Outcome
from pytest_modal.report.failures import explain
from pytest_modal.report.record import CallEntry, ContainerEntry, LoadEntry, MachineEntry
from pytest_modal.store.results import Results


def note_entries(results: Results, containers: Sequence[Used]) -> None:
    """Note what the record of the run will hold of its batch; `containers` are those of its backend."""
    run, reused = results.run, set(results.run.reused)
    if results.is_shared:
        run.calls = _calls(results)
    ran = [outcome for outcome in results.outcomes.values() if outcome.key not in reused and not outcome.recorded]
    run.loads = [*_loads(ran)]
    machines: dict[str, MachineEntry] = {}
    for outcome in ran:
        if outcome.machine is not None:
            machines[outcome.container] = _more(machines.get(outcome.container), outcome.machine)
    known = {each.container for each in containers}
    others = {outcome.container: outcome.key for outcome in ran if outcome.container and outcome.container not in known}
    environments = [Used(name, str(results.calls[key].environment), "", 0.0, None) for name, key in others.items()]
    run.containers = [_container(each, machines.get(each.container)) for each in (*containers, *environments)]


def call_entries(results: Results) -> list[CallEntry]:
    """Return the entries of all calls of a run, fresh rounds included.

    They are made anew whenever the record is written, and not kept meanwhile: of thousands of calls they are large.
    """
    # What other processes read was noted for them.
    return results.run.calls if results.is_shared else [*_calls(results), *results.run.calls]


def _calls(results: Results) -> list[CallEntry]:
    reused = set(results.run.reused)
    names = {each.key: str(each) for each in results.batch.environments}
    return [_call(results, call, names[call.environment.key], call.key in reused) for call in results.batch.calls]


def _call(results: Results, call: Call, environment: str, reused: bool) -> CallEntry:
    found = results.outcomes.get(call.key)
    outcome = found or Outcome(call.key, "ok", attempts=0)
    return CallEntry(
        key=call.key,
        label=call.label,
        function=call.function.name,
        where=call.function.location,
        environment=environment,
        status="missing" if found is None else outcome.status,
        # That of an earlier run is not among those of this one.
        container="" if reused else outcome.container,
        started=None if reused else outcome.started,
        seconds=outcome.seconds,
        device=outcome.device,
        given=outcome.given,
        peak_memory=outcome.peak_memory,
        attempts=outcome.attempts,
        value_bytes=outcome.value_bytes,
        reused=reused,
        recorded=outcome.recorded,
        error="" if outcome.ok else explain(results, outcome),
        printed=_printed(outcome),
        tests=list(call.tests),
    )


def _printed(outcome: Outcome) -> str:
    between = "\n" if outcome.stdout and not outcome.stdout.endswith("\n") and outcome.stderr else ""
    return f"{outcome.stdout}{between}{outcome.stderr}"


def _loads(ran: Sequence[Outcome]) -> list[LoadEntry]:
    entries, failed = list[LoadEntry](), set[tuple[str, str]]()
    for outcome in ran:
        for load in outcome.loads:
            entries.append(
                LoadEntry(
                    label=load.label, container=outcome.container, started=load.started, seconds=load.seconds, ok=True
                )
            )
        # It is an outcome of each call that needed it, but it was tried once in a container.
        tried = outcome.container_key, outcome.container
        if outcome.container_key is None or not outcome.seconds or tried in failed:
            continue
        failed.add((outcome.container_key, outcome.container))
        entries.append(
            LoadEntry(
                label=outcome.phase.removeprefix("load "),
                container=outcome.container,
                started=outcome.started,
                seconds=outcome.seconds,
                ok=False,
            )
        )
    return entries


def _more(before: MachineEntry | None, now: Mapping[str, Any]) -> MachineEntry:
    known: dict[str, Any] = {**(before or {}), **{name: value for name, value in now.items() if value}}
    return MachineEntry(
        python=known.get("python", ""),
        torch=known.get("torch", ""),
        cuda=known.get("cuda", ""),
        driver=known.get("driver", ""),
        gpu=known.get("gpu", ""),
        memory=known.get("memory"),
    )


def _container(used: Used, machine: MachineEntry | None) -> ContainerEntry:
    return ContainerEntry(
        id=used.container,
        environment=used.environment,
        gpu=used.gpu,
        started=used.started,
        ended=used.ended,
        seconds=used.seconds,
        dollars=used.dollars,
        machine=machine,
    )
