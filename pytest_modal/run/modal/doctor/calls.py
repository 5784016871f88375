"""Checks of calls that go well: the start of a container, a GPU, payloads, what is counted of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import time
from typing import Any

from pytest_modal.run.bundle import bundle
from pytest_modal.run.modal.doctor.check import Check, Found, found
from pytest_modal.run.modal.doctor.sent import GPU, new_word
from pytest_modal.run.modal.doctor.visit import End, Visit
from pytest_modal.run.modal.entry import PYTHON
from pytest_modal.run.modal.session import SCHEDULING
from pytest_modal.run.modal.timeouts import within
from pytest_modal.wording import count

_SIZES = {"100 B": 100, "9 KiB": 9 << 10, "3 MiB": 3 << 20}  # spawned calls carry 8 KiB, others 2 MiB
_RESULT_LIMIT = 15.0
_START_LIMIT = 40.0
_GPU_LIMIT = 50.0
_LOOK_INTERVAL = 0.2


async def container(visit: Visit) -> Found:
    """Start a container."""
    began = time.monotonic()
    end = await visit.end_of(await visit.spawn("probe", new_word()), _START_LIMIT - 5)
    if end.value is None:
        return without_value("no container", end)
    head, _ = _parts(end.value)
    took = end.at - began
    faults = []
    if head["python"] != PYTHON:
        faults.append(f"it has Python {head['python']}, and this is {PYTHON}")
    if head["project"]:
        faults.append("it has pytest_modal, which it was not given")
    says = "; ".join([f"started in {took:.1f} s", *faults])
    remedy = "report it: functions need the same Python, and nothing else of this machine"
    return found(not faults, says, remedy, {"seconds": round(took, 3), "python": head["python"]})


async def gpu(visit: Visit) -> Found:
    """Get a GPU, and its name from the product's own worker."""
    function, word = visit.functions["gpu"], new_word()
    began = time.monotonic()
    call = await visit.spawn("gpu", word, bundle())
    ending = asyncio.ensure_future(visit.end_of(call, _GPU_LIMIT - 5))
    queued: list[int] = []
    seen = 0
    try:
        while not ending.done():
            await asyncio.wait([ending], timeout=_LOOK_INTERVAL)
            # What is counted while it waits counts only right after Modal has said so: a moment later it may start.
            if len(scheduling_lines(visit)) > seen and not visit.log.lines(word):
                seen = len(scheduling_lines(visit))
                with contextlib.suppress(Exception):
                    stats = await within(5, function.get_current_stats.aio())
                    queued.append(stats.num_total_runners)
        end = ending.result()
    finally:
        ending.cancel()
    said = scheduling_lines(visit)
    counted = bool(queued) and all(queued)
    facts = {"runners_count_queued": counted} if queued else {}
    measured = {"seconds": round(end.at - began, 3), "modal_says": said[:1], "runners_while_queued": queued}
    if end.value is None:
        if end.never:
            with contextlib.suppress(Exception):
                await within(5, call.cancel.aio())
        says = without_value(f"no {GPU}", end).says
        says += f"; Modal says: {said[0]}" if said else ""
        remedy = 'try again later; for tests, allow other types too: gpu=["T4", "L4"]'
        return Found("differs", says, remedy, measured | end.told, facts)
    name = end.value.decode()
    says = f"{name or 'no name'} after {end.at - began:.1f} s"
    says += f"; Modal says meanwhile: {said[0]}" if said else ""
    if counted:
        says += "; num_total_runners counts containers that wait"
    given = GPU in name.replace("-", " ").split()
    remedy = "set modal_facts" if given else f'gpu="{GPU}!" refuses another card; report it'
    return found(given and not counted, says, remedy, measured | {"name": name}, facts)


def scheduling_lines(visit: Visit) -> list[str]:
    """Return what Modal says of a function that waits for a GPU."""
    return [entry.text.strip() for entry in visit.log.lines(SCHEDULING) if entry.system]


async def payloads(visit: Visit) -> Found:
    """Send payloads of each size, and get them back."""
    took: dict[str, float] = {}
    containers: set[str] = set()
    for name, size in _SIZES.items():
        payload = random.Random(size).randbytes(size)
        began = time.monotonic()
        end = await visit.end_of(await visit.spawn("probe", new_word(), payload), _RESULT_LIMIT)
        if end.value is None:
            return without_value(f"{name}: no result", end)
        took[name] = round(end.at - began, 3)
        try:
            head, back = _parts(end.value)
        except (ValueError, TypeError, KeyError):
            return Found("differs", f"{name}: the result is garbage", _REPORT, {"seconds": took})
        if hashlib.sha256(back).digest() != hashlib.sha256(payload).digest():
            return Found("differs", f"{name}: came back changed", _REPORT, {"seconds": took})
        containers.add(head["container"])
    says = ", ".join(f"{name} in {seconds:.2f} s" for name, seconds in took.items())
    if len(containers) > 1:
        says += f"; in {len(containers)} containers, one after the other"
    remedy = "a container was replaced while it worked; calls were tried again. If it happens again, report it"
    return found(len(containers) == 1, says, remedy, {"seconds": took, "containers": len(containers)})


async def stats(visit: Visit) -> Found:
    """Watch what `get_current_stats` counts, with three calls for one container."""
    function, word = visit.functions["wait"], new_word()
    began = time.monotonic()
    calls = [await visit.spawn("wait", word, 20.0) for _ in range(3)]
    seen: list[tuple[float, int, int, int]] = []
    started = 0.0
    try:
        while time.monotonic() - began < _START_LIMIT - 10 and (not started or time.monotonic() - started < 1.0):
            now = await within(5, function.get_current_stats.aio())
            at = round(time.monotonic() - began, 2)
            seen.append((at, now.num_total_runners, now.backlog, now.num_running_inputs))
            if not started and (visit.log.lines(word) or now.num_running_inputs):
                started = time.monotonic()
            await asyncio.sleep(_LOOK_INTERVAL)
    finally:
        # The one that runs is the last: else the next begins, and a container is told to cancel once a second.
        for call in reversed(calls):
            with contextlib.suppress(Exception):
                await within(5, call.cancel.aio())
    if not started:
        return Found("unknown", f"no call began within {_START_LIMIT - 10:g} s", "", {"seen": seen})
    _, runners, backlog, running = seen[-1]
    first = next((at for at, number, *_ in seen if number), None)
    early = first is not None and first < started - began - 1.0
    says = f"of 3 calls for one container {running} runs and {backlog} wait, {count(runners, 'runner')}"
    rows = [dict(zip(("at", "runners", "backlog", "running"), each, strict=True)) for each in seen]
    remedy = "report it: whether there is a GPU is decided by num_total_runners"
    measured = {"seen": rows, "counts_starting": early, "call_began": round(started - began, 2)}
    return found(runners == 1 and backlog == 2, says, remedy, measured)


_REPORT = "run it again; if it happens again, report it with the file"


def without_value(what: str, end: End) -> Found:
    """Return what to say of a call without a result."""
    if end.never:
        return Found("differs", f"{what} within {end.waited:.0f} s", _REPORT)
    told = f"{what}: {type(end.error).__name__}: {end.error}"
    return Found("differs", " ".join(told.split())[:300], _REPORT, end.told)


def _parts(value: Any) -> tuple[dict[str, Any], bytes]:
    head, _, payload = bytes(value).partition(b"\n")
    read = json.loads(head)
    return {"container": read["container"], "python": read["python"], "project": read["project"]}, payload


CONTAINER = Check("container", f"it has Python {PYTHON}, and nothing of this machine", _START_LIMIT, container)
GPU_NAME = Check("gpu", f"a {GPU} by its name", _GPU_LIMIT, gpu)
PAYLOADS = Check("payloads", "all come back unchanged", 3 * _RESULT_LIMIT + 5, payloads)
STATS = Check("stats", "a call runs in a runner, the backlog waits", _START_LIMIT, stats)
