"""Bookkeeping of a running batch: what to send, what is blocked, how long each fixture is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, cast

from pytest_modal.batch.calls import Argument, Batch, Call, Code, Container, Data, FromCall, FromContainer, Node
from pytest_modal.batch.outcomes import Load, Outcome, Status
from pytest_modal.remote.data import CorruptDataError
from pytest_modal.remote.framing import Bound, CallRequest, Reply
from pytest_modal.run.endings import ending
from pytest_modal.store.shapes import check_shape

_IN_EVERY_REPLY = (
    "status", "container", "phase", "loads", "seconds", "device", "given", "stdout", "stderr",
)  # fmt: skip


class Dispatch:
    """Keeps track of a running batch.

    Parameters
    ----------
    batch : Batch
        The calls, in order.
    results : callable
        Returns the encoded result of a finished call.
    """

    def __init__(self, batch: Batch, results: Callable[[str], bytes]) -> None:
        self._batch = batch
        self._results = results
        self._finished: dict[str, Outcome] = {}
        self._failed_containers: dict[str, Outcome] = {}
        self._positions = {call.key: position for position, call in enumerate(batch.calls)}
        self._last_users = {key: self._positions[call.key] for call in batch.calls for key in call.containers}

    def blocked(self, call: Call) -> Outcome | None:
        """Return the outcome of a call that need not be sent, because what it needs has failed."""
        for key in call.containers:
            if key in self._failed_containers:
                cause = self._failed_containers[key]
                return Outcome(
                    call.key,
                    cause.status,
                    phase=cause.phase,
                    error=cause.error,
                    container_key=key,
                    container=cause.container,
                )
        for key in self._batch.dependencies(call):
            # A result that could not be stored makes an outcome a failed one later.
            if key in self._finished and not self._finished[key].ok:
                message = f"{call.label} needs the result of {self.label(key)}, which failed"
                error = {"type": "", "message": message, "cause_key": key}
                return Outcome(call.key, "dependency failed", error=error)
        return None

    def label(self, key: str) -> str:
        """Return the label of a call; its key, if it is of another batch."""
        position = self._positions.get(key)
        return key if position is None else self._batch.calls[position].label

    def is_ready(self, call: Call) -> bool:
        """Whether all that a call depends on has finished; what is not in the batch has a result of an earlier run."""
        return all(key in self._finished or key not in self._positions for key in self._batch.dependencies(call))

    def labels(self, call: Call) -> dict[str, str]:
        """Return the labels of the container fixtures that a call needs, by key."""
        return {container.key: container.label for container in self.containers(call)}

    def containers(self, call: Call) -> list[Container]:
        """Return the container fixtures that a call needs, each after those that it needs itself."""
        return [self._batch.containers[key] for key in call.containers]

    def request(self, call: Call, known: Collection[str]) -> CallRequest:
        """Return the message that runs a call.

        It holds the position of the call in the order, and the last position at which each container fixture is
        needed: so a container knows, whichever calls it gets, when to release what.

        Parameters
        ----------
        call : Call
            What to run.
        known : collection of str
            Functions and container fixtures that the container has: what they need isn't sent again.
        """
        containers = self.containers(call)
        users = self._last_users
        blobs: dict[str, bytes] = {}
        for node in [*containers, call]:
            if node.key in known:
                continue
            if node.function.key not in known:
                blobs[node.function.key] = node.function.payload
            blobs |= {text.key: text.payload for text in node.modules if text.key not in known}
            for argument in [*node.arguments.values(), *([node.param] if node.param else [])]:
                if isinstance(argument, Data):
                    blobs[argument.digest] = b"".join(argument.buffers)
                elif isinstance(argument, FromCall):
                    blobs[argument.key] = self._results(argument.key)
        return {
            "call": _bound(call),
            "containers": [{**_bound(container), "until": users[container.key]} for container in containers],
            "blobs": blobs,
            "position": self._positions[call.key],
            "mounts": [path for path, _ in call.environment.volumes],
            "own_image": call.environment.image is not None,
        }

    def finished(self, call: Call, outcome: Outcome) -> None:
        """Note an outcome: what depends on a failed one is blocked from now on."""
        self._finished[call.key] = outcome
        if not outcome.ok and outcome.container_key is not None:
            self._failed_containers.setdefault(outcome.container_key, outcome)

    def outcome(self, call: Call, answer: object) -> Outcome:
        """Turn a worker's reply into an outcome; one that makes no sense is the outcome that says so."""
        try:
            return self._outcome(call, self._checked(call, answer))
        except CorruptDataError as error:
            return unreadable_reply(call, str(error))

    def _checked(self, call: Call, answer: object) -> Reply:
        """Return a reply that is one: what runs in a worker can forge whatever it sends."""
        reply: Reply = check_shape(answer, Reply, "reply", required=_IN_EVERY_REPLY)
        if reply["status"] == "ok" and reply.get("call") != call.key:
            raise CorruptDataError("it is the reply to another call")
        loaded = [load["key"] for load in reply["loads"]]
        keys = {*loaded, *([reply["container_key"]] if "container_key" in reply else [])}
        if not keys <= self._batch.containers.keys():
            raise CorruptDataError("reply: it names a container fixture that there is not")
        reason = {"ok": "status", "timed out": "limit", "crashed": "exit_status"}.get(reply["status"], "error")
        if reason not in reply.keys() | reply.get("ended", {}).keys():
            raise CorruptDataError(f"reply: {reply['status']}, without its {reason}")
        return reply

    def _outcome(self, call: Call, reply: Reply) -> Outcome:
        process = reply.get("process", reply["container"])
        return Outcome(
            key=call.key,
            # Those of nearly all calls are the same texts, decoded anew for each.
            status=cast(Status, sys.intern(reply["status"])),
            seconds=reply["seconds"],
            phase=sys.intern(reply["phase"]),
            error=_error(reply),
            container_key=reply.get("container_key"),
            container=sys.intern(reply["container"]),
            device=sys.intern(reply["device"]),
            given=sys.intern(reply["given"]),
            peak_memory=reply.get("peak_memory"),
            stdout=reply["stdout"],
            stderr=reply["stderr"],
            loads=tuple(
                Load(load["key"], load["label"], process, load["seconds"], load["started"]) for load in reply["loads"]
            ),
            attempts=reply.get("attempts", 1),
            lost_files=tuple(reply.get("lost_files", ())),
            warnings=tuple(reply.get("warnings", ())),
            fallen=tuple(reply.get("fallen", ())),
            started=reply.get("started"),
            machine=reply.get("machine"),
        )


def is_missing(answer: object) -> bool:
    """Whether a worker lacks what the call needs, and asks for it."""
    return isinstance(answer, dict) and answer.get("status") == "missing"


def unreadable_reply(call: Call, why: str) -> Outcome:
    """Return the outcome of a call whose reply can't be used."""
    error = {
        "type": "reply",
        "message": f"the worker sent an answer to {call.label} that can't be used: {why}",
        "remedy": "run pytest again; if it happens again, look for code that writes to files that it has not opened",
        "log": "",
        "of_project": True,
    }
    return Outcome(call.key, "infrastructure", error=error)


def _error(reply: Reply) -> Mapping[str, Any] | None:
    ended = reply.get("ended", {})
    if reply["status"] == "timed out":
        return {"limit": ended["limit"]}
    if reply["status"] == "crashed":
        return {"message": ending("the worker process", ended["exit_status"])}
    return reply.get("error")


def _bound(node: Node) -> Bound:
    bound: Bound = {
        "key": node.key,
        "name": node.function.name,
        "label": node.label,
        "function": node.function.key,
        "modules": list(dict.fromkeys(text.key for text in node.modules)),
        "arguments": {name: _reference(argument) for name, argument in node.arguments.items()},
        "param": _reference(node.param) if node.param else None,
        "request": node.takes_request,
    }
    if node.environment.seed is not None:
        bound["seed"] = node.environment.seed
    return bound


def _reference(argument: Argument) -> tuple[Literal["data", "code", "container"], str]:
    if isinstance(argument, FromContainer):
        return "container", argument.key
    if isinstance(argument, Code):
        return "code", argument.digest
    return "data", argument.digest if isinstance(argument, Data) else argument.key
