"""Lines in the app's log by which containers report, read while the batch runs.

They say what runs, and that a container has ended before Modal says so; no outcome depends on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_modal.run.endings import exit_status_in


@dataclass(frozen=True)
class Sign:
    """A line by which a container reports.

    Attributes
    ----------
    event : str
        "ready" (a container is up), "ended" (it has been closed), "pack" (it has got one), "interrupted" (Modal ends it
        in good order), "start" (what follows is printed by a call), "load" (a container fixture is being built),
        "import" (the modules of a function are being filled), "call".
    service : str
        Name of the Modal Function.
    key : str
        Id of the container or the pack, or key of the call.
    rest : str
        Age of the container and name of its device, id of the container, label of the call, key of the container
        fixture.
    """

    event: str
    service: str
    key: str
    rest: str

    @property
    def age(self) -> float:
        """Seconds since the container was started, of "ready" and "ended"; 0 where they can't be read."""
        try:
            return float(self.rest.partition(" ")[0])
        except ValueError:
            return 0.0

    @property
    def device(self) -> str:
        """Name of the GPU, of "ready"; empty without one."""
        return self.rest.partition(" ")[2].strip()


class Signs:
    """Finds the reports of containers among what functions print.

    Attributes
    ----------
    mark : str
        Begins each report, another in each session: what a function prints can't be taken for one.
    """

    def __init__(self) -> None:
        self.mark = f"[pytest-modal {secrets.token_hex(8)}]"
        form = rf"{re.escape(self.mark)} (?P<event>\w+) (?P<service>\w+) ?(?P<key>\S*) ?(?P<rest>.*)$"
        self._line = re.compile(form, re.MULTILINE)

    def found(self, text: str) -> list[Sign]:
        """Return the reports in a piece of a log."""
        return [Sign(**match.groupdict()) for match in self._line.finditer(text)]

    def without(self, text: str) -> str:
        """Return the output of the function itself."""
        return "".join(line.partition(self.mark)[0] for line in text.splitlines(keepends=True))


@dataclass
class Sightings:
    """What the log has shown.

    Attributes
    ----------
    signs : Signs
        Finds the reports.
    phases : dict
        The last reported phase of each call: (phase, key of a container fixture or "").
    containers : dict
        The containers that had each pack.
    exits : dict
        Exit statuses of containers that have ended.
    interrupted : set of str
        Containers that Modal has ended in good order: it runs their packs elsewhere.
    """

    signs: Signs = field(default_factory=Signs)
    phases: dict[str, tuple[str, str]] = field(default_factory=dict)
    containers: dict[str, list[str]] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)

    def note(self, sign: Sign) -> None:
        """Note what a container reports."""
        if sign.event in ("load", "import", "call"):
            self.phases[sign.key] = sign.event, sign.rest.strip()
        elif sign.event == "interrupted":
            self.interrupted.add(sign.key)
        elif sign.event == "pack" and sign.rest not in (had := self.containers.setdefault(sign.key, [])):
            had.append(sign.rest)

    def note_end(self, entry: Any) -> None:
        """Note that a container has ended, if an entry of the log says so."""
        if entry.source not in ("stdout", "stderr") and (status := exit_status_in(entry.message)) is not None:
            self.exits[id_in(entry, "ta-")] = status

    def has_begun(self, pack: str) -> bool:
        """Whether a container has reported that it has the pack."""
        return pack in self.containers

    def fell(self, pack: str) -> bool:
        """Whether a container has ended under a pack; Modal would try it again in another one."""
        *before, last = self.containers.get(pack, [""])
        return last in self.exits or any(container not in self.interrupted for container in before)


class News:
    """Tells the new entries of a log from the others: a stream begins at the app's start each time it is opened."""

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._counts: Counter[int] = Counter()

    def opened(self) -> None:
        """Note that the log comes from its beginning."""
        self._counts.clear()

    def is_new(self, entry: Any) -> bool:
        """Return whether an entry has not come before."""
        content = hash((entry.timestamp, entry.source, tuple(entry.context_ids), entry.message))
        self._counts[content] += 1
        new = self._counts[content] > self._seen[content]
        self._seen[content] += new
        return new


async def follow(app: Any) -> AsyncIterator[Any]:
    """Yield the entries of an app's log, from its beginning, as they arrive."""
    async for entry in app.logs.stream.aio():
        yield entry


async def listen(app: Any, heard: Callable[[Any], None], pause: float) -> None:
    """Pass on each entry of an app's log once, for ever: a log that ends, or can't be read, is opened again.

    Parameters
    ----------
    pause : float
        Seconds until then.
    """
    news = News()
    while True:
        news.opened()
        with contextlib.suppress(Exception):
            async for entry in follow(app):
                if news.is_new(entry):
                    heard(entry)
        await asyncio.sleep(pause)


async def last_output(call: Any, signs: Signs, entries: int = 400) -> dict[str, str]:
    """Return the last output of a call on Modal, by stream."""
    printed = {"stdout": "", "stderr": ""}
    async for entry in call.logs.tail.aio(entries):
        if entry.source in printed:
            printed[entry.source] += signs.without(entry.message)
    return printed


def id_in(entry: Any, prefix: str) -> str:
    """Return the id of a kind that an entry of the log belongs to."""
    return next((each for each in reversed(entry.context_ids) if each.startswith(prefix)), "")
