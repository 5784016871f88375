"""The worker: builds container fixtures, runs calls, returns data.

Standard library only until a function imports more. It travels in a zip file (`pytest_modal.run.bundle`),
where ``pytest_modal`` is an empty package that holds the files of `pytest_modal.remote`. The same code serves the
local worker process and Modal's containers.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Callable, Generator, Mapping
from time import perf_counter, time
from typing import Any, Literal

from pytest_modal.remote import data, lost_files, slices
from pytest_modal.remote.described import Notes, describe, no_notes
from pytest_modal.remote.device import Card, Device, free_memory
from pytest_modal.remote.framing import Bound, Buffers, CallRequest, Described, Missing, Reply, Teardown
from pytest_modal.remote.python_warnings import WarningRecorder
from pytest_modal.remote.state import State
from pytest_modal.remote.streams import Streams


class ContainerError(Exception):
    """A container fixture raised; `error` describes what."""

    def __init__(self, key: str, error: Described) -> None:
        super().__init__(key)
        self.key = key
        self.error = error


class MissingError(Exception):
    """The request names blobs that this container has never had."""


class Request:
    """The ``request`` of a container: only ``request.param`` exists there."""

    def __init__(self, *param: object) -> None:
        if param:
            self.param = param[0]

    def __getattr__(self, name: str) -> Any:
        if name == "param":
            raise AttributeError("request.param does not exist: this fixture has no params=")
        raise AttributeError(
            f"request.{name} does not exist in a container, where only request.param is known: compute it in a local "
            "fixture and pass it as a parameter"
        )


def status_of(error: Described) -> Literal["raised", "skipped", "xfailed"]:
    """Return the status of a call that raised."""
    verdict = error.get("verdict")
    return "raised" if verdict is None or verdict == "failed" else verdict


class Worker:
    """Runs calls one after the other and keeps container fixtures between them.

    Parameters
    ----------
    name : str
        Names this container in outcomes.
    notify : callable
        Called with each phase as it begins, so that a call that never returns can be explained.
    is_fatal : callable
        Whether an exception ends this container, and is not the outcome of a call.
    raised : callable
        Takes each exception of a function, with the key of the call or the container fixture.
    notes : callable
        Says more of an exception that goes back.
    capture : bool
        Whether what functions print is captured.
    card : Card or None
        The GPU, where it is known already.
    """

    def __init__(
        self,
        name: str,
        notify: Callable[[str, str], None] = lambda phase, key: None,
        is_fatal: Callable[[BaseException], bool] = lambda error: False,
        *,
        raised: Callable[[str, BaseException], None] = lambda key, error: None,
        notes: Notes = no_notes,
        capture: bool = True,
        card: Card | None = None,
    ) -> None:
        self.name = name
        self._notify = notify
        self._is_fatal = is_fatal
        self._raised = raised
        self._notes = notes
        self._streams = Streams(capture=capture)
        self._warnings = WarningRecorder()
        self._functions: dict[str, Callable[..., object]] = {}
        self._texts: set[str] = set()  # of the modules that are known
        self._settings: dict[str, list[str]] = {}  # what the modules of a function set, by its key
        self._containers: dict[str, object] = {}
        self._failed: dict[str, Described] = {}
        self._teardowns: dict[str, Generator[object, None, None]] = {}
        self._until: dict[str, int] = {}
        self.device = Device(card)
        self._state = State()
        self._slices = slices.Slices(self._state)

    def handle(self, request: CallRequest) -> tuple[Reply | Missing, Buffers]:
        """Run one call.

        Parameters
        ----------
        request : CallRequest
            What to run, and what it needs.

        Returns
        -------
        reply : Reply or Missing
            The outcome as data, or what it takes to have one.
        value : list of buffers
            The encoded result; empty unless the status is "ok".
        """
        reply: Reply = {"call": request["call"]["key"], "status": "ok", "container": self.name, "phase": "start"}
        reply["loads"] = []
        value: Buffers = []
        started = perf_counter()
        with self._streams.captured(), self._warnings.recording() as reply["warnings"]:
            try:
                with lost_files.watching(request.get("mounts", ())) as reply["lost_files"]:
                    value = self._call(request, reply)
            except MissingError as missing:
                return {"status": "missing", "blobs": list(missing.args)}, []
            except ContainerError as failed:
                reply |= {"status": status_of(failed.error), "container_key": failed.key, "error": failed.error}
            except data.NotDataError as error:
                refused: Described = {"type": "NotDataError", "message": str(error)}
                reply |= {"status": "not data", "error": refused}
            # A remote SystemExit or KeyboardInterrupt must not end the container: it is this call's outcome.
            except BaseException as error:
                if self._is_fatal(error):
                    self._state.leave()
                    raise
                self._raised(request["call"]["key"], error)
                described = describe(error, self._notes, own=(__file__,))
                reply |= {"status": status_of(described), "error": described}
            reply["seconds"] = perf_counter() - started - sum(load["seconds"] for load in reply["loads"])
            reply["started"] = time() - reply["seconds"]
            use = self.device.look()
            reply |= {"device": use.device, "given": self.device.given, "peak_memory": use.peak_memory}
            reply["poisoned"] = use.poisoned
            if (machine := self.device.news()) is not None:
                reply["machine"] = machine
            if use.poisoned:
                # The code after a `yield` could only fail with the same fault, and would be reported for it.
                self._teardowns.clear()
            elif reply["status"] != "ok":
                # The frames of an exception that somebody keeps hold tensors, in a circle that only this ends.
                free_memory()
            self._state.leave()
        reply |= {"stdout": self._streams.text("stdout"), "stderr": self._streams.text("stderr")}
        return reply, value if reply["status"] == "ok" else []

    def adopt(self, key: str, function: Callable[..., object]) -> None:
        """Take a function as it is in this process."""
        self._functions[key] = function

    def release(self, position: int) -> list[Teardown]:
        """Release the container fixtures whose last user has at most this position: the code after the yield runs."""
        return self._release([key for key in self._containers if self._until[key] <= position])

    def release_all(self) -> list[Teardown]:
        """Release every container fixture."""
        errors = self._release(list(self._containers))
        self._slices.close()
        self._state.close()
        return errors

    def _release(self, keys: list[str]) -> list[Teardown]:
        errors: list[Teardown] = []
        # The last built goes first: it may use those built before it.
        for key in reversed(keys):
            self._containers.pop(key, None)
            teardown = self._teardowns.pop(key, None)
            self._state.leaving(key)
            if teardown is None:
                continue
            self._notify("teardown", key)
            try:
                next(teardown)
                errors.append({"container_key": key, "yields": True})
            except StopIteration:
                pass
            except BaseException as error:
                if self._is_fatal(error):
                    raise
                errors.append({"container_key": key, "error": describe(error, self._notes, own=(__file__,))})
        if keys:
            free_memory()
        return errors

    def _call(self, request: CallRequest, reply: Reply) -> Buffers:
        needed = [spec for spec in request["containers"] if spec["key"] not in self._containers]
        blobs = request["blobs"]
        self.device.begin()
        self._slices.prefers_image = request["own_image"]
        self._require([*needed, request["call"]], blobs)
        reply["phase"] = "import"
        if request["call"]["function"] not in self._functions:
            self._notify("import", "")
        self._load(request["call"], blobs)
        for spec in needed:
            reply["phase"] = f"load {spec['label']}"
            self._build(spec, blobs, reply)
        self.device.reset_peak()
        self._notify("call", "")
        reply["phase"] = "call"
        sources = [
            *self._settings.get(request["call"]["function"], ()),
            *(spec["key"] for spec in request["containers"]),
        ]
        self._state.enter(sources, request["call"].get("seed"))
        with warnings.catch_warnings():  # a filter that a call adds does not reach the next one
            result = self._run(request["call"], blobs)
        reply["phase"] = "return"
        notes: list[str] = []
        value = data.encode(result, where=request["call"]["name"], notes=notes)
        for note in notes:
            print(note, file=sys.stderr)
        # A CUDA fault is raised only while waiting for the device: here it still belongs to this call.
        self.device.wait()
        return value

    def _require(self, specs: list[Bound], blobs: Mapping[str, bytes]) -> None:
        missing = []
        for spec in specs:
            if spec["function"] not in self._functions:
                wanted = [spec["function"], *(key for key in spec["modules"] if key not in self._texts)]
                missing += [key for key in wanted if key not in blobs]
            sent = [*spec["arguments"].values(), *([spec["param"]] if spec["param"] else [])]
            missing += [key for kind, key in sent if kind != "container" and key not in blobs]
            if any(kind == "code" for kind, _ in sent):
                missing += [key for key in spec["modules"] if key not in blobs and key not in self._texts]
        if missing:
            raise MissingError(*dict.fromkeys(missing))

    def _load(self, spec: Bound, blobs: Mapping[str, bytes]) -> None:
        """Fill the modules of a function, unless that is done."""
        key = spec["function"]
        if key not in self._functions:
            loaded = self._slices.load(blobs[key], self._modules_of(spec, blobs))
            self._functions[key], self._settings[key] = loaded

    def _build(self, spec: Bound, blobs: Mapping[str, bytes], reply: Reply) -> None:
        key = spec["key"]
        if key in self._failed:
            raise ContainerError(key, self._failed[key])
        self._notify("load", key)
        started = perf_counter()
        try:
            self._load(spec, blobs)
            uses = [*self._settings.get(spec["function"], ())]
            uses += [used for kind, used in spec["arguments"].values() if kind == "container"]
            with self._state.building(key, uses, spec.get("seed")):
                value = self._run(spec, blobs)
                if isinstance(value, types.GeneratorType):
                    self._teardowns[key] = value
                    value = _yielded(value, spec["label"])
                self.device.wait()
        except BaseException as error:
            if self._is_fatal(error):
                raise
            self._raised(key, error)
            self._failed[key] = describe(error, self._notes, own=(__file__,))
            raise ContainerError(key, self._failed[key]) from None
        self._containers[key], self._until[key] = value, spec["until"]
        seconds = perf_counter() - started
        reply["loads"].append({"key": key, "label": spec["label"], "seconds": seconds, "started": time() - seconds})

    def _run(self, spec: Bound, blobs: Mapping[str, bytes]) -> object:
        function = self._functions[spec["function"]]
        arguments = {name: self._argument(spec, *argument, blobs) for name, argument in spec["arguments"].items()}
        if spec["request"]:
            param = [self._argument(spec, *spec["param"], blobs)] if spec["param"] else []
            arguments["request"] = Request(*param)
        return function(**arguments)

    def _argument(self, spec: Bound, kind: str, key: str, blobs: Mapping[str, bytes]) -> object:
        if kind == "container":
            return self._containers[key]
        if kind == "code":
            return self._slices.load(blobs[key], self._modules_of(spec, blobs)).function
        return data.decode(blobs[key])

    def _modules_of(self, spec: Bound, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the texts of modules that were not sent before: those that were are known."""
        new = {key: blobs[key] for key in spec["modules"] if key in blobs and key not in self._texts}
        self._texts.update(new)
        return new


def _yielded(generator: Generator[object, None, None], label: str) -> object:
    try:
        return next(generator)
    except StopIteration:
        raise ValueError(f"{label} did not yield a value") from None
