"""The file that a visit leaves: to attach to a report, and to set facts from."""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_modal.declare.facts import SCHEMA
from pytest_modal.run.modal.doctor.check import Line

_TOKEN = re.compile(r"\b(a[ks])-[A-Za-z0-9_]{3,}")
_SHORTEST = 3  # letters of a name that can be told from other text


def report(lines: Sequence[Line], private: Mapping[str, str], *, complete: bool) -> dict[str, Any]:
    """Return the report as plain data, without names and tokens.

    Parameters
    ----------
    private : mapping
        Texts that must not be in it, with what replaces them.
    complete : bool
        Whether the visit came to its end.
    """
    names = _names(private)
    return {
        "schema": SCHEMA,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": complete,
        "versions": _versions(),
        "facts": {name: value for line in lines for name, value in line.found.facts.items()},
        "checks": [_check(line, names) for line in lines],
    }


def _versions() -> dict[str, str]:
    names = ("pytest-modal", "modal")
    found = {name: importlib.metadata.version(name) for name in names}
    return {**found, "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def _check(line: Line, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": line.check.name,
        "state": line.found.state,
        "says": _masked(line.found.says, names),
        "assumed": line.check.assumed,
        "remedy": _masked(line.found.remedy, names),
        "seconds": round(line.seconds, 2),
        "measured": _masked(line.found.measured, names),
    }


def _names(private: Mapping[str, str]) -> dict[str, str]:
    """Return what must not be in a report, the longest first: a name may be a part of another."""
    names = {**private, str(Path.home()): "<home>", platform.node(): "<host>"}
    with contextlib.suppress(OSError, KeyError):
        names[getpass.getuser()] = "<user>"
    return {name: names[name] for name in sorted(names, key=len, reverse=True) if len(name) >= _SHORTEST}


def _masked(value: Any, names: Mapping[str, str]) -> Any:
    """Return plain data without names and tokens, in its keys too, where messages of exceptions stand."""
    if isinstance(value, Mapping):
        return {_masked(str(key), names): _masked(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(each, names) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    for name, mask in names.items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", mask, text)  # where it is a word, not inside of others
    return _TOKEN.sub(r"\1-<token>", text)
