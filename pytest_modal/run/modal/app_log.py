"""Lines in the app's log by which containers report, read while the batch runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from pytest_modal.remote.modal_worker import MARK

_LINE = re.compile(rf"^{re.escape(MARK)} (?P<event>\w+) (?P<service>\w+) ?(?P<key>\S*) ?(?P<rest>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Sign:
    """A sign of life.

    Attributes
    ----------
    event : str
        "ready" (a container is up), "start", "load" (a container fixture is being built), "call".
    service : str
        Name of the Modal Function.
    key : str
        Key of the call; for "ready" the beginning of the device's name.
    rest : str
        Key of the container fixture, or the rest of the line.
    container : str
        Id of the container, where it is known.
    """

    event: str
    service: str
    key: str
    rest: str
    container: str = ""


@dataclass
class Phases:
    """What each call was last seen doing: (phase, key of a container fixture or ""); and in which containers."""

    seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    containers: dict[str, list[str]] = field(default_factory=dict)

    def note(self, sign: Sign) -> None:
        """Remember a sign of a call."""
        if sign.event in ("start", "load", "call") and sign.container:
            tried = self.containers.setdefault(sign.key, [])
            if sign.container not in tried:
                tried.append(sign.container)
        if sign.event == "start":
            self.seen[sign.key] = "start", ""
        elif sign.event in ("load", "call"):
            self.seen[sign.key] = sign.event, sign.rest.strip()

    def of(self, key: str) -> tuple[str, str] | None:
        """Return what a call was last seen doing, or None if no container has had it."""
        return self.seen.get(key)


def signs(entry: Any) -> list[Sign]:
    """Return the signs of life in an entry of a log."""
    container = next((each for each in reversed(entry.context_ids) if each.startswith("ta-")), "")
    return [
        Sign(match["event"], match["service"], match["key"], match["rest"], container)
        for match in _LINE.finditer(entry.message)
    ]


def without_signs(text: str) -> str:
    """Return what a function itself has printed."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


async def follow(app: Any) -> AsyncIterator[Sign]:
    """Yield the signs of life of an app's containers as they arrive."""
    async for entry in app.logs.stream.aio():
        for sign in signs(entry):
            yield sign


async def last_output(call: Any, phases: Phases, entries: int = 400) -> dict[str, str]:
    """Return the last that a call has printed, by stream; note the phases that are told there."""
    printed = {"stdout": "", "stderr": ""}
    async for entry in call.logs.tail.aio(entries):
        for sign in signs(entry):
            phases.note(sign)
        if entry.source in printed:
            printed[entry.source] += without_signs(entry.message)
    return printed
