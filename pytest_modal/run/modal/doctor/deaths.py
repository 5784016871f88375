"""Checks of calls that end badly: a crash, no memory, the time limit, cancelled, a stopped app."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from pytest_modal.declare.facts import Facts
from pytest_modal.run.endings import exit_status_in
from pytest_modal.run.modal.doctor.calls import without_value
from pytest_modal.run.modal.doctor.check import Check, Found, found
from pytest_modal.run.modal.doctor.log import Log
from pytest_modal.run.modal.doctor.sent import MEMORY_LIMIT, MEMORY_TAKEN, TIME_LIMIT, new_app, new_word
from pytest_modal.run.modal.doctor.visit import PATIENCE, End, Visit
from pytest_modal.run.modal.opening import has_ended, opened
from pytest_modal.run.modal.timeouts import within
from pytest_modal.wording import count

_DEATH_LIMIT = 60.0  # seconds: Modal starts several containers for a call that ends them
_BEGIN_LIMIT = 30.0
_END_LIMIT = 10.0
_LINE_LIMIT = 3.0
_CANCEL_INTERVAL = 1.2  # seconds: a container is told to cancel once a second, and not before its call has begun
_REPORT = "report it with the file: how a call has ended is read from this"


async def crash(visit: Visit) -> Found:
    """Have a container killed by its call."""
    seen = await _death(visit, "crash", new_word())
    if isinstance(seen, Found):
        return seen
    end, status, measured = seen
    if status is None:
        return Found("differs", f"{_told(end)} without exit status, {_starts(measured)}", _REPORT, measured)
    return found(_is_crash(end), f"{_told(end)} with exit status {status}, {_starts(measured)}", _REPORT, measured)


async def memory(visit: Visit) -> Found:
    """Have a call take more memory than its limit."""
    seen = await _death(visit, "memory", new_word(), MEMORY_TAKEN)
    if isinstance(seen, Found):
        return seen
    end, status, measured = seen
    if end.value is not None:
        says = f"{MEMORY_TAKEN} MiB were taken, with a limit of {MEMORY_LIMIT}"
        return Found("differs", says, "memory=(request, limit) does not protect; report it", measured)
    if status is None:
        return Found("differs", f"{_told(end)} without exit status, {_starts(measured)}", _REPORT, measured)
    known = Facts().out_of_memory_exit_codes
    facts = {"out_of_memory_exit_codes": [*known, status]} if status not in known and status else {}
    says = f"{_told(end)} with exit status {status}, {_starts(measured)}"
    remedy = "set modal_facts: that exit status is then called out of memory"
    return found(status in known and _is_crash(end), says, remedy, measured, facts)


async def _death(visit: Visit, name: str, word: str, *args: Any) -> Found | tuple[End, int | None, dict[str, Any]]:
    """Have a call end its container; return how it ends, the exit status, and figures."""
    began = time.monotonic()
    call = await visit.spawn(name, word, *args)
    end = await visit.end_of(call, _DEATH_LIMIT - _LINE_LIMIT - 2)
    await visit.log.wait_for(f"{word} begun", _LINE_LIMIT)
    begun = visit.log.lines(f"{word} begun")
    containers = {entry.container for entry in begun}
    if end.never:
        with contextlib.suppress(Exception):
            await within(5, call.cancel.aio())
        return without_value(f"no end of the call, with {count(len(begun), 'start')},", end)
    exits = visit.log.exits(containers)
    status = exit_status_in(str(end.error or ""))
    if status is None and exits:
        status = exits[-1][1]
    measured = {
        **end.told,
        "exit_status": status,
        "exit_statuses_in_log": [number for _, number in exits],
        "starts": len(begun),
        "seconds": round(end.at - began, 2),
        "seen_after_seconds": round(end.at - begun[-1].at, 2) if begun else None,
    }
    return end, status, measured


def _is_crash(end: End) -> bool:
    import modal

    kinds = (modal.exception.RemoteError, modal.exception.ExecutionError)
    return isinstance(end.error, kinds)


def _starts(measured: dict[str, Any]) -> str:
    return f"after {count(measured['starts'], 'start')}"


def _told(end: End) -> str:
    return type(end.error).__name__ if end.error is not None else "a result"


async def timeout(visit: Visit) -> Found:
    """Have a call exceed its time limit."""
    import modal

    word = new_word()
    began = time.monotonic()
    end = await visit.end_of(await visit.spawn("timeout", word, 30.0), _BEGIN_LIMIT + _END_LIMIT)
    if end.never:
        return without_value("no end of the call", end)
    before, after = await _containers(visit, "timeout", word)
    begun = visit.log.lines(f"{word} begun")
    late = end.at - begun[0].at - TIME_LIMIT if begun else None
    raised = [entry.text.rpartition(" ")[2] for entry in visit.log.lines(f"{word} raised")]
    says = _told(end)
    says += f" {max(0.0, late):.1f} s after the limit of {TIME_LIMIT} s" if late is not None else ""
    says += _lives_on(before, after)
    measured = {**end.told, "seconds": round(end.at - began, 2), "raised_in_the_function": raised}
    measured |= {"late_seconds": None if late is None else round(late, 2), "lives_on": _same(before, after)}
    right = isinstance(end.error, modal.exception.FunctionTimeoutError)
    return found(right and _same(before, after) is not False, says, _REPORT, measured)


async def cancel(visit: Visit) -> Found:
    """Cancel a call while it runs."""
    word = new_word()
    call = await visit.spawn("wait", word, 30.0)
    ending = asyncio.ensure_future(visit.end_of(call, _BEGIN_LIMIT + _END_LIMIT))
    try:
        await visit.log.wait_for(f"{word} begun", _BEGIN_LIMIT - 20)
        await asyncio.sleep(_CANCEL_INTERVAL)
        asked = time.monotonic()
        await visit.streams.request(call.cancel.aio)
        await asyncio.wait([ending], timeout=visit.at_most(_END_LIMIT))
        end = ending.result() if ending.done() else End(time.monotonic(), None, None, time.monotonic() - asked)
    finally:
        ending.cancel()
    before, after = await _containers(visit, "wait", word)
    raised = [entry.text.rpartition(" ")[2] for entry in visit.log.lines(f"{word} raised")]
    took = None if end.never else round(end.at - asked, 2)
    measured = {**end.told, "seconds": took, "raised_in_the_function": raised, "lives_on": _same(before, after)}
    if end.never:
        says = f"the call never ends (waited {end.waited:.0f} s){_lives_on(before, after)}"
    else:
        says = f"{_told(end)} after {end.at - asked:.1f} s{_lives_on(before, after)}"
    remedy = "no result depends on it: sessions don't wait for cancelled calls"
    return found(end.error is not None and _same(before, after) is not False, says, remedy, measured)


async def _containers(visit: Visit, name: str, word: str) -> tuple[str, str]:
    """Return the container that had a call, and the one that gets the next one; empty where that is not known."""
    lines = visit.log.lines(f"{word} begun")
    next_one = await visit.end_of(await visit.spawn(name, new_word(), 0.0), _END_LIMIT)
    after = next_one.value.decode() if isinstance(next_one.value, bytes) else ""
    return lines[-1].text.rpartition(" ")[2] if lines else "", after


def _same(before: str, after: str) -> bool | None:
    return before == after if before and after else None


def _lives_on(before: str, after: str) -> str:
    same = _same(before, after)
    if same is None:
        return ""
    return "" if same else "; another container has the next call"


async def stopped(visit: Visit) -> Found:
    """Stop an app under a call that runs."""
    assert visit.describe_image is not None
    app, functions = new_app(visit.describe_image(), {"wait"})
    log, word = Log(), new_word()

    async def awaited(work: Any) -> None:
        await within(_BEGIN_LIMIT, work)

    async with opened(app, awaited, PATIENCE, lambda: 5.0):
        watching = asyncio.ensure_future(log.watch(app))
        try:
            wait = functions["wait"]
            call = await visit.streams.request(lambda: wait.spawn.aio(word, 40.0))
            await log.wait_for(f"{word} begun", 10)
            asked = time.monotonic()
            await app.stop.aio()
            ending = asyncio.ensure_future(visit.end_of(call, _END_LIMIT))
            state_after = await _until_stopped(app, asked)
            refusal = await _refusal(wait)
            end = await ending
        finally:
            watching.cancel()
    state = "the app never says so" if state_after is None else f"the app says so after {state_after:.1f} s"
    if end.never:
        ends = f"its call never ends (waited {end.waited:.0f} s)"
    else:
        ends = f"its call ends with {_told(end)} after {end.at - asked:.1f} s"
    says = f"{state}, {ends}, {f'a new one with {refusal}' if refusal else 'a new one is taken'}"
    measured = {
        **end.told,
        "state_after_seconds": state_after,
        "seconds": None if end.never else round(end.at - asked, 2),
        "new_call": refusal,
    }
    remedy = "no session hangs on it: the state decides" if state_after is not None else _REPORT
    right = state_after is not None and end.error is not None and bool(refusal)
    return found(right, says, remedy, measured)


async def _until_stopped(app: Any, since: float) -> float | None:
    while time.monotonic() - since < _END_LIMIT:
        with contextlib.suppress(Exception):
            if has_ended(await within(5, app.info.aio(refresh=True))):
                return round(time.monotonic() - since, 2)
        await asyncio.sleep(0.25)
    return None


async def _refusal(function: Any) -> str:
    try:
        call = await within(_END_LIMIT, function.spawn.aio(new_word(), 0.0))
    except Exception as error:
        return type(error).__name__
    with contextlib.suppress(Exception):
        await within(2, call.cancel.aio())
    return ""


CRASH = Check("crash", "an error with the exit status", _DEATH_LIMIT, crash)
MEMORY = Check("memory", "an error with exit status 137, 9, 2 or -1", _DEATH_LIMIT, memory)
TIMEOUT = Check("timeout", "an error, and the container lives on", 55, timeout)
CANCEL = Check("cancel", "it ends, and the container lives on", 55, cancel)
STOPPED = Check("stopped", "it says so, its calls end, others are refused", 60, stopped)
