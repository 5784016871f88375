"""Timings of earlier runs on Modal, and how long a batch will take by them."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modal.batch.calls import Batch, Node
from pytest_modal.batch.cost import Cost
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.outcomes import Outcome

MOST = 5_000  # times of a kind that are kept: the newest
_KINDS = ("calls", "loads", "idle")


class Timings:
    """Seconds by what took them, and by the GPUs that were declared: another one takes another time.

    Parameters
    ----------
    kept : object
        What `kept` returned in an earlier run. Anything else counts as nothing: it may be another version's.
    """

    def __init__(self, kept: object = None) -> None:
        self._seconds: dict[str, dict[str, float]] = {kind: {} for kind in _KINDS}
        for kind, seconds in self._seconds.items():
            found = kept.get(kind) if isinstance(kept, dict) else None
            if isinstance(found, dict):
                seconds |= {key: each for key, each in found.items() if isinstance(each, float) and each >= 0}

    @property
    def kept(self) -> dict[str, Any]:
        """What to keep, as JSON has it."""
        return {kind: dict([*seconds.items()][-MOST:]) for kind, seconds in self._seconds.items()}

    def note(self, batch: Batch, outcomes: Mapping[str, Outcome], cost: Cost) -> None:
        """Note the times of a run: its outcomes and what its containers used."""
        worked: defaultdict[str, float] = defaultdict(float)
        cut_short = set[str]()
        for call in batch.calls:
            if (outcome := outcomes.get(call.key)) is None:
                continue
            if outcome.status == "infrastructure":
                cut_short.add(_kind(call.environment))
            worked[outcome.container] += outcome.seconds + sum(load.seconds for load in outcome.loads)
            if outcome.ok:
                self._put("calls", _key(call, call.environment), outcome.seconds)
            for load in outcome.loads:
                if (container := batch.containers.get(load.key)) is not None:
                    self._put("loads", _key(container, call.environment), load.seconds)
        idle: defaultdict[str, list[float]] = defaultdict(list)
        for used in cost.containers:
            idle[_kind(used.environment)].append(max(0.0, used.seconds - worked[used.container]))
        for kind, seconds in idle.items():
            # How long a container worked on a call whose end was not seen is not known.
            if kind not in cut_short:
                self._put("idle", kind, sum(seconds) / len(seconds))

    def _put(self, kind: str, key: str, seconds: float) -> None:
        # What is newest comes last.
        self._seconds[kind].pop(key, None)
        self._seconds[kind][key] = float(seconds)

    def of(self, batch: Batch, environment: Environment) -> float | None:
        """Return the seconds that the containers of an environment will take, all together; None if it isn't known."""
        calls = [call for call in batch.calls if call.environment.key == environment.key]
        containers = {key: batch.containers[key] for call in calls for key in call.containers}
        each = [self._seconds["idle"].get(_kind(environment))]
        each += [self._seconds["loads"].get(_key(container, environment)) for container in containers.values()]
        own = [self._of_call(_key(call, environment)) for call in calls]
        if None in each or None in own:
            return None
        return min(len(calls), environment.max_containers) * _sum(each) + _sum(own)

    def lasts(self, batch: Batch, environment: Environment) -> float:
        """Return the seconds until the calls of an environment are done; infinite where they aren't known."""
        seconds = self.of(batch, environment)
        return math.inf if seconds is None else seconds / environment.max_containers

    def expected(self, batch: Batch, max_gpus: int) -> float | None:
        """Return the seconds from the start of the first container to the end of a batch; None if it isn't known.

        Parameters
        ----------
        max_gpus : int
            GPUs that are used at once: environments that don't find room wait for others.
        """
        longest = busy = 0.0
        for environment in batch.environments:
            seconds = self.of(batch, environment)
            if seconds is None:
                return None
            calls = sum(call.environment.key == environment.key for call in batch.calls)
            longest = max(longest, seconds / min(calls, environment.max_containers))
            busy += environment.gpus * seconds
        return max(longest, busy / max(1, max_gpus)) or None

    def _of_call(self, key: str) -> float | None:
        """Return the seconds of a call; of a new one, those of other calls of its function."""
        seconds = self._seconds["calls"].get(key)
        return self._by_function.get(_function(key)) if seconds is None else seconds

    @functools.cached_property
    def _by_function(self) -> dict[str, float]:
        found: defaultdict[str, list[float]] = defaultdict(list)
        for key, seconds in self._seconds["calls"].items():
            found[_function(key)].append(seconds)
        return {function: sum(seconds) / len(seconds) for function, seconds in found.items()}


def _sum(seconds: Sequence[float | None]) -> float:
    return sum(each or 0.0 for each in seconds)


def _kind(environment: Environment | str) -> str:
    return str(environment).partition(";")[0]


def _key(node: Node, environment: Environment) -> str:
    # Two functions of one name may be in different files, and two calls of one label differ in what they depend on.
    key = f"{_kind(environment)} {node.function.location.rpartition(':')[0]}::{node.label}{node.apart}"
    return key.encode("utf-8", "backslashreplace").decode()  # as a file can hold it


def _function(key: str) -> str:
    return key.partition("[")[0]
