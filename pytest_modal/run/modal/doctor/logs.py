"""The check of the app's log: how late it is, what is missing, whether it can be read again."""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
from itertools import pairwise

from pytest_modal.run.modal.app_log import last_output
from pytest_modal.run.modal.doctor.calls import without_value
from pytest_modal.run.modal.doctor.check import Check, Found, found
from pytest_modal.run.modal.doctor.log import read_again
from pytest_modal.run.modal.doctor.sent import new_word
from pytest_modal.run.modal.doctor.visit import Visit
from pytest_modal.run.modal.timeouts import within

_LINES, _INTERVAL = 40, 0.05
_RESULT_LIMIT = 15.0
_LAST_LIMIT = 10.0  # seconds after the result until a line counts as lost
_AGAIN_LIMIT = 3.0
_LATE = 2.0  # seconds


async def logs(visit: Visit) -> Found:
    """Have lines printed at a known pace, and see which come, and when."""
    word = new_word()
    call = await visit.spawn("probe", word, lines=_LINES, interval=_INTERVAL)
    end = await visit.end_of(call, _RESULT_LIMIT)
    if end.value is None:
        return without_value("no result", end)
    tail = ""
    with contextlib.suppress(Exception):
        tail = (await within(5, last_output(call)))["stdout"]
    await visit.log.wait_for(f"{word} line {_LINES - 1}", visit.at_most(_LAST_LIMIT, leave=_AGAIN_LIMIT + 3))
    if len(visit.log.lines(word)) < _LINES:
        await asyncio.sleep(1)
    printed = re.compile(rf"{word} line (\d+)")
    lines = [entry for entry in visit.log.entries if printed.search(entry.text)]
    again = await read_again(visit.app, visit.at_most(_AGAIN_LIMIT), word, _LINES)
    numbers = [int(match[1]) for entry in lines if (match := printed.search(entry.text))]
    # By the clock of this machine alone: line n was printed so long before the result was returned.
    delays = [entry.at - (end.at - (_LINES - number) * _INTERVAL) for entry, number in zip(lines, numbers, strict=True)]
    delay = max(0.0, statistics.median(delays)) if delays else None
    on_the_way = max(0.0, end.at - lines[-1].at) if lines else None
    faults = []
    if lost := _LINES - len(set(numbers)):
        faults.append(f"{lost} lost")
    if any(before > after for before, after in pairwise(numbers)):
        faults.append("out of order")
    if delay is not None and delay > _LATE:
        faults.append("too late")
    if lines and not all(entry.container and entry.call == call.object_id for entry in lines):
        faults.append("some without the ids of their call")
    if again < len(set(numbers)):
        faults.append(f"opened again, the log has {again} of them")
    says = f"{len(set(numbers))} of {_LINES} lines"
    says += f", {delay:.1f} s late" if delay is not None else ""
    facts = {}
    if delay is not None:
        facts["log_delay_seconds"] = round(min(60.0, max(delays)), 2) if delay > 0.5 else 0.0
    if on_the_way:
        facts["result_delay_seconds"] = round(min(60.0, on_the_way), 2)
    measured = {
        "lines": len(set(numbers)),
        "of": _LINES,
        "delay_seconds": None if delay is None else round(delay, 3),
        "in_tail_with_the_result": tail.count(word),
        "read_again": again,
        "faults": faults,
    }
    remedy = "no result depends on it; set modal_facts to wait longer for the output of crashed calls"
    return found(not faults, "; ".join([says, *faults]), remedy, measured, facts)


LOGS = Check("logs", f"all lines, in order, within {_LATE:g} s", 45, logs)
