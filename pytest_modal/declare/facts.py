"""Facts about Modal, for what is assumed otherwise: read from the report of ``pytest-modal doctor``."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pytest_modal.wording import safe_line, three_parts

SCHEMA = 1
_MOST_BYTES = 1 << 20
_REMEDY = "make the file again: pytest-modal doctor; or correct the value; or remove modal_facts from the ini"


class FactsError(ValueError):
    """A file of facts can't be used; the message has three parts."""


@dataclass(frozen=True)
class Facts:
    """Facts about Modal; the defaults are what is assumed.

    Attributes
    ----------
    streams : int
        Requests that Modal takes at a time on a connection.
    round_trip_seconds : float
        From a request to its answer.
    log_delay_seconds : float
        From what a function prints until it is in the app's log.
    result_delay_seconds : float
        From a container's report that it has returned until its results are here.
    out_of_memory_exit_codes : tuple of int
        Exit statuses of containers that ran out of memory.
    runners_count_queued : bool
        Whether ``num_total_runners`` counts containers that wait for a GPU.
    """

    streams: int = 100
    round_trip_seconds: float = 0.25
    log_delay_seconds: float = 0.0
    result_delay_seconds: float = 5.0
    out_of_memory_exit_codes: tuple[int, ...] = (2, 9, 137, -1)
    runners_count_queued: bool = False


def read_facts(path: Path) -> Facts:
    """Read the facts of a doctor's report; those that it has not found out keep their defaults.

    Raises
    ------
    FactsError
        The file can't be read, or a value is not valid.
    """
    import difflib

    report = _report(path)
    schema, given = report.get("schema"), report.get("facts")
    if schema != SCHEMA or isinstance(schema, bool):
        what = f"modal_facts: schema {safe_line(repr(schema), 40)} is not known"
        remedy = f"make the file again, with this version: pytest-modal doctor (schema {SCHEMA})"
        raise FactsError(three_parts(what, f"{path}, at schema", remedy))
    if not isinstance(given, dict):
        raise _wrong(path, "facts", given, "an object with the facts by their names")
    for name in given:
        if name not in _RULES:
            close = difflib.get_close_matches(name, _RULES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {', '.join(_RULES)}"
            what = f"modal_facts: there is no fact {safe_line(repr(name), 60)}"
            raise FactsError(three_parts(what, f"{path}, in facts", hint))
    return Facts(**{name: _checked(path, name, value) for name, value in given.items()})


def _report(path: Path) -> Mapping[str, Any]:
    import json

    text = _content(path)
    try:
        report = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"modal_facts is not JSON: {error.msg}"
        raise FactsError(three_parts(what, f"{path}:{error.lineno}:{error.colno}", _REMEDY)) from None
    except (ValueError, RecursionError) as error:
        raise FactsError(three_parts(f"modal_facts is not JSON: {error}", path, _REMEDY)) from None
    if not isinstance(report, dict):
        what = f"modal_facts is JSON, but not a report of the doctor: {type(report).__name__}, not an object"
        raise FactsError(three_parts(what, path, _REMEDY))
    return report


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FactsError(three_parts("modal_facts is not a regular file", path, _REMEDY))
        if status.st_size > _MOST_BYTES:
            what = f"modal_facts has {status.st_size:,} bytes, more than a report of the doctor"
            raise FactsError(three_parts(what, path, _REMEDY))
        return path.read_bytes()
    except OSError as error:
        remedy = "correct the path, which is relative to the rootdir; or make the file: pytest-modal doctor"
        raise FactsError(three_parts(f"modal_facts can't be read: {error.strerror}", path, remedy)) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _seconds(most: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: _is_number(value) and 0 <= value <= most, f"a number of seconds from 0 to {most:g}"


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    # With fewer, there is none left for the heartbeats of the app.
    "streams": (lambda value: _is_whole(value) and 8 <= value < 1 << 32, "a whole number, at least 8"),
    "round_trip_seconds": _seconds(10),
    "log_delay_seconds": _seconds(60),
    "result_delay_seconds": _seconds(60),
    "out_of_memory_exit_codes": (
        lambda value: isinstance(value, list) and 0 < len(value) <= 20 and all(map(_is_status, value)),
        "a list of exit statuses, from -255 to 255 and not 0",
    ),
    "runners_count_queued": (lambda value: isinstance(value, bool), "true or false"),
}
assert list(_RULES) == [each.name for each in fields(Facts)]


def _is_status(value: object) -> bool:
    return _is_whole(value) and value in range(-255, 256) and value != 0


def _checked(path: Path, name: str, value: Any) -> Any:
    holds, form = _RULES[name]
    if not holds(value):
        raise _wrong(path, f"facts.{name}", value, form)
    return tuple(value) if isinstance(value, list) else value


def _wrong(path: Path, place: str, value: object, form: str) -> FactsError:
    import json

    what = f"modal_facts: {safe_line(json.dumps(value), 60)} is not {form}"
    return FactsError(three_parts(what, f"{path}, at {place}", _REMEDY))
