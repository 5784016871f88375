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
    """A line by which a container reports.

    Attributes
    ----------
    event : str
        "ready" (a container is up), "start", "load" (a container fixture is being built), "import" (the modules of
        a function are being filled), "call".
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
    """The last reported phase of each call: (phase, key of a container fixture or ""); and its containers."""

    seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    containers: dict[str, list[str]] = field(default_factory=dict)

    def note(self, sign: Sign) -> None:
        """Note the phase that a container reports."""
        if sign.event in ("start", "load", "import", "call") and sign.container:
            tried = self.containers.setdefault(sign.key, [])
            if sign.container not in tried:
                tried.append(sign.container)
        if sign.event == "start":
            self.seen[sign.key] = "start", ""
        elif sign.event in ("load", "import", "call"):
            self.seen[sign.key] = sign.event, sign.rest.strip()

    def of(self, key: str) -> tuple[str, str] | None:
        """Return the last reported phase of a call, or None if no container has had it."""
        return self.seen.get(key)


def signs(entry: Any) -> list[Sign]:
    """Return the reports of containers in an entry of a log."""
    container = next((each for each in reversed(entry.context_ids) if each.startswith("ta-")), "")
    return signs_in(entry.message, container)


def signs_in(text: str, container: str = "") -> list[Sign]:
    """Return the reports of containers in a piece of a log."""
    return [
        Sign(match["event"], match["service"], match["key"], match["rest"], container) for match in _LINE.finditer(text)
    ]


def without_signs(text: str) -> str:
    """Return the output of the function itself."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


async def follow(app: Any) -> AsyncIterator[Any]:
    """Yield the entries of an app's log, from its beginning, as they arrive."""
    async for entry in app.logs.stream.aio():
        yield entry


async def last_output(call: Any, phases: Phases, entries: int = 400) -> dict[str, str]:
    """Return the last output of a call, by stream; note the phases that are reported there."""
    printed = {"stdout": "", "stderr": ""}
    async for entry in call.logs.tail.aio(entries):
        for sign in signs(entry):
            phases.note(sign)
        if entry.source in printed:
            printed[entry.source] += without_signs(entry.message)
    return printed
