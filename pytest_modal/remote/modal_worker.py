"""The worker inside a Modal container: packs of calls as bytes in and out, run in a process under Modal's own.

Standard library only. Modal's process never runs code of the project: it stays alive when a call takes its process
along, and says what became of it.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_modal.remote import data
from pytest_modal.remote.age import age
from pytest_modal.remote.child import Child
from pytest_modal.remote.compression import compressed, decompressed
from pytest_modal.remote.device import Device
from pytest_modal.remote.framing import (
    Bound,
    CallRequest,
    Missing,
    Pack,
    PackReply,
    Reply,
    message_buffers,
    write_message,
)
from pytest_modal.remote.masks import Masks, SecretNames, warning_of
from pytest_modal.remote.starting import Started, in_container
from pytest_modal.remote.supervisor import Supervisor

INTERRUPT_TIMEOUT = 5.0  # seconds for a call to end when Modal ends its container
STOP_TIMEOUT = 20.0  # seconds for the code after the `yield` of container fixtures: Modal grants 30 for it all
TEARDOWN_WAIT = 5.0  # seconds that results wait for that code, so that what goes wrong in it can be reported with them
MOST_RESULTS = 4 << 20  # bytes: with more, the calls that have not begun go back
_SMALL = 64 << 10  # bytes: larger blobs are kept on disk


class ModalWorker:
    """Serves one container of an environment.

    Parameters
    ----------
    environment : str
        Name of the Modal Function.
    recycle : callable
        Makes the current input the last one of this container.
    secret : SecretNames
        Which environment variables are secret.
    mark : str
        Begins each line of the log that is a report. No function knows it.
    first : Started
        Its first worker process.
    """

    def __init__(
        self, environment: str, recycle: Callable[[], None], secret: SecretNames, mark: str, first: Started
    ) -> None:
        self._masks = Masks(secret.among(os.environ.items()))
        self._environment = environment
        self._recycle = recycle
        self._name, self._output = first.name, first.directory
        self._blobs = _Blobs(self._output.parent / "blobs")
        self._device = Device()
        self._first: Started | None = first
        self._started = 0
        self._supervisor = Supervisor(self._start)
        self._supervisor.renew()
        self._log = _Log(f"{mark} {{}} {environment} {{}}\n", self._supervisor, self._masks)
        self._log.say("ready", f"{self._name} {age():.2f} {self._device.given}")

    def run(self, payload: bytes) -> bytes:
        """Run a pack; see `Pack` and `PackReply`, compressed both."""
        pack: Pack = data.decode(decompressed(payload), copy=False)
        self._log.say("pack", f"{pack['id']} {self._name}")
        head: PackReply = {
            "pack": pack["id"],
            "container": self._name,
            "age": 0.0,
            "device": self._device.given,
            "ends": False,
            "keys": [],
            "spent": [],
            "teardowns": [],
        }
        results = io.BytesIO()
        spent, complete = 0.0, True
        for request in pack["calls"]:
            self._blobs.keep(request)
        for request in pack["calls"]:
            if spent >= pack["seconds"] or results.tell() > MOST_RESULTS:
                complete = False
                break
            if pack["alone"]:
                self._release()
            began = time.monotonic()
            reply, value = self._run(request, pack)
            head["keys"].append(request["call"]["key"])
            loading = 0.0 if reply["status"] == "missing" else sum(load["seconds"] for load in reply["loads"])
            head["spent"].append(time.monotonic() - began - loading)
            spent += head["spent"][-1]
            write_message(results, reply, [value])
            if reply["status"] == "missing":
                complete = False
            else:
                self._supervisor.release(request["position"], pack["timeout"])
        # What is finished is kept, also where Modal ends the container meanwhile.
        with contextlib.suppress(BaseException):
            head["teardowns"] = self._supervisor.teardowns(TEARDOWN_WAIT)
        if pack["last"] and complete:
            # What is finished is kept, whatever Modal answers.
            with contextlib.suppress(Exception):
                self._recycle()
                head["ends"] = True
        head["age"] = age()
        packed = compressed([*message_buffers(head, []), results.getbuffer()])
        self._log.say("returned", f"{pack['id']} {self._name}")
        return packed

    def close(self) -> None:
        """Release what is left; no reply follows to report errors with, so they go to the log."""
        self._release()
        for teardown in self._supervisor.teardowns():
            error = teardown.get("error")
            what = f"{error['type']}: {error['message']}" if error else str(teardown.get("ended"))
            self._log.say("teardown", f"{teardown['container_key']} {what}")
        self._supervisor.close()
        self._log.say("ended", f"{self._name} {age():.2f}")

    def _release(self) -> None:
        """End the process, unless it has not been used yet."""
        self._supervisor.stop(STOP_TIMEOUT)
        self._log.look()

    def _run(self, request: CallRequest, pack: Pack) -> tuple[Reply | Missing, bytes]:
        self._log.call(request)
        try:
            ask = self._blobs.request(request)
            reply, value = self._supervisor.run(ask, pack["timeout"], pack["retries"], self._log)
        except BaseException as error:
            # Modal ends this container, or takes the pack back; nothing else is raised here.
            self._log.say("interrupted", f"{self._name} {type(error).__name__}")
            self._supervisor.interrupt(INTERRUPT_TIMEOUT)
            raise
        if reply["status"] == "missing":
            return reply, value
        reply |= {"process": reply["container"], "container": self._name, "fallen": []}
        masked, names = self._masks.encoded([value])
        if names:
            reply["warnings"] = [*reply["warnings"], warning_of(request["call"]["label"], names)]
        return self._masks.plain(reply), b"".join(masked)

    def _start(self) -> Child:
        self._started += 1
        name = self._name if self._started == 1 else f"{self._name}, process {self._started}"
        started, self._first = self._first or in_container(name, self._output), None
        child = Child(started)
        # What the GPU is is found out while the interpreter starts.
        child.tell({"card": [*self._device.card]})
        return child


class _Log:
    """Writes what functions print to the app's log, with lines between that say whose it is.

    Parameters
    ----------
    form : str
        How a report is written, for an event and its detail.
    """

    def __init__(self, form: str, supervisor: Supervisor, masks: Masks) -> None:
        self._form = form
        self._masks = masks
        self._supervisor = supervisor
        self._call = ""
        self._label = ""
        self._named: set[str] = set()  # streams in which the call has been named

    def say(self, event: str, detail: str, kind: str = "stderr") -> None:
        """Write a line that the local side reads from the app's log, and people in `modal app logs`."""
        self._write(kind, self._form.format(event, detail).encode("utf-8", "backslashreplace"))

    def call(self, request: CallRequest) -> None:
        """Note the call that runs from now on."""
        self.look()
        self._call, self._label = request["call"]["key"], request["call"]["label"]
        self._named.clear()

    def phase(self, phase: str, key: str) -> None:
        """Write the phase of the call: of a call that takes a moment only, there is none."""
        self.look()
        self._name("stderr")
        self.say(phase, f"{self._call} {key}")

    def look(self) -> None:
        """Write what was printed."""
        for kind, piece in self._supervisor.news():
            self._name(kind)
            self._write(kind, piece)

    def _name(self, kind: str) -> None:
        if kind not in self._named and self._call:
            self._named.add(kind)
            self.say("start", f"{self._call} {self._label}", kind)

    def _write(self, kind: str, piece: bytes) -> None:
        stream: Any = getattr(sys, kind)
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            stream.buffer.write(self._masks.raw(piece))
            stream.buffer.flush()


class _Blobs:
    """Blobs that several calls need: functions, modules, and the arguments of container fixtures.

    A fresh process gets them from here. What only one call needs is not kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._small: dict[str, bytes] = {}
        self._large: dict[str, Path] = {}

    def keep(self, request: CallRequest) -> None:
        """Keep what comes with a request and others may need too."""
        shared = {key for spec in request["containers"] for key in _needed(spec)}
        shared |= {request["call"]["function"], *request["call"]["modules"]}
        for key in shared & request["blobs"].keys():
            blob = request["blobs"][key]
            if len(blob) <= _SMALL:
                self._small[key] = bytes(blob)
            elif key not in self._large:
                self._directory.mkdir(exist_ok=True)
                path = self._directory / str(len(self._large))
                path.write_bytes(blob)
                self._large[key] = path

    def request(self, request: CallRequest) -> Callable[[Collection[str]], CallRequest]:
        """Return what makes the request for a process from the blobs that it knows."""

        def ask(known: Collection[str]) -> CallRequest:
            wanted = [spec for spec in [*request["containers"], request["call"]] if spec["key"] not in known]
            keys = {key for spec in wanted for key in _needed(spec)} - {*known}
            blobs = dict(self._found(keys, request))
            return {**request, "blobs": blobs}

        return ask

    def _found(self, keys: Iterable[str], request: CallRequest) -> Iterator[tuple[str, bytes]]:
        for key in keys:
            if key in request["blobs"]:
                yield key, request["blobs"][key]
            elif key in self._small:
                yield key, self._small[key]
            elif key in self._large:
                yield key, self._large[key].read_bytes()


def _needed(spec: Bound) -> Iterator[str]:
    yield spec["function"]
    yield from spec["modules"]
    for kind, key in [*spec["arguments"].values(), *([spec["param"]] if spec["param"] else [])]:
        if kind != "container":
            yield key
