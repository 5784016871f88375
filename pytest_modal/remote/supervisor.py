"""The supervisor of an environment's calls: they run in a worker process, which it replaces when one ends.

Standard library only, and it never runs code of the project, so it survives whatever a call does to its process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import cast

from pytest_modal.remote.child import TEARDOWN_TIMEOUT, Child, Watcher
from pytest_modal.remote.framing import CallRequest, Missing, Reply, Teardown

Ask = Callable[[Collection[str]], CallRequest]


class Supervisor:
    """Runs calls one after the other.

    Parameters
    ----------
    start : callable
        Starts a worker process.
    """

    def __init__(self, start: Callable[[], Child]) -> None:
        self._start = start
        self._child: Child | None = None
        self._failed: dict[str, Reply] = {}  # what became of container fixtures
        self._teardowns: list[Teardown] = []

    def child(self) -> Child:
        """Return the worker process, a fresh one if the last has ended."""
        if self._child is None or not self._child.alive:
            self.renew()
        assert self._child is not None
        return self._child

    def renew(self) -> None:
        """Start a fresh worker process."""
        if self._child is not None:
            self._child.close()
        self._child = self._start()

    def run(self, ask: Ask, timeout: float, retries: int, watcher: Watcher) -> tuple[Reply | Missing, bytes]:
        """Run one call; whatever becomes of it is its reply.

        A process can be killed for what earlier calls left in it, or take nothing any longer: a call that falls is
        tried once more, in a fresh one.

        Parameters
        ----------
        ask : callable
            Returns the request, with the blobs that are not among those that a process knows.
        timeout : float
            Seconds that each attempt may take.
        retries : int
            How often a call that raised is run again.
        """
        attempts, fallen = 0, list[str]()
        while True:
            attempts += 1
            child = self._settled()
            known = bool(child.known)
            request = ask(child.known)
            if (failed := self._of_fixture(request)) is not None:
                return failed, b""
            # What the last call needed may have been used last by one that ran elsewhere, or could not run.
            self.release(request["position"] - 1, timeout)
            if self._settled() is not child:
                attempts -= 1
                continue
            reply, value = child.run(request, timeout, watcher)
            if reply["status"] == "missing":
                if not known:
                    return reply, value
                # It lacks what it was thought to have: it gets everything.
                attempts -= 1
                continue
            if (reply["status"] == "crashed" or reply.get("phase") == "send") and not fallen:
                fallen.append(child.name)
                watcher.phase("again", "")
            elif reply["status"] != "raised" or "container_key" in reply or attempts > retries:
                break
        reply["attempts"], reply["fallen"] = attempts, fallen
        if "container_key" in reply:
            self._failed[reply["container_key"]] = reply
        return reply, value

    def news(self) -> Iterator[tuple[str, bytes]]:
        """Yield what was printed since the last time, by stream."""
        return self._child.news() if self._child is not None else iter(())

    def release(self, position: int, seconds: float) -> None:
        """Have the code after the ``yield`` run of those container fixtures that no later call needs.

        Parameters
        ----------
        position : int
            Of the last call that has ended.
        seconds : float
            How long a call may take: that code may not take longer, nor longer than `TEARDOWN_TIMEOUT`.
        """
        if self._child is not None:
            self._child.release(position, min(seconds, TEARDOWN_TIMEOUT))

    def stop(self, seconds: float = TEARDOWN_TIMEOUT) -> None:
        """Shut the process down if it was used."""
        if self._child is not None and self._child.used:
            self._teardowns += self._child.stop(seconds)

    def teardowns(self, wait: float = TEARDOWN_TIMEOUT) -> list[Teardown]:
        """Return what went wrong after the ``yield`` of container fixtures since the last time.

        Parameters
        ----------
        wait : float
            Seconds to wait for what still runs.
        """
        if self._child is not None:
            self._teardowns += self._child.released(wait)
            if wait and (key := self._child.tears_down):
                self._teardowns.append({"container_key": key, "pending": wait})
        found, self._teardowns = self._teardowns, []
        return found

    def interrupt(self, seconds: float) -> None:
        """Have the running call end, and with it the process if that takes longer."""
        if self._child is not None:
            self._child.interrupt(seconds)

    def close(self) -> None:
        """Kill the process."""
        if self._child is not None:
            self._child.close()

    def _settled(self) -> Child:
        """Return the worker process, in which no code of container fixtures runs."""
        if self._child is not None:
            self._teardowns += self._child.released()
        return self.child()

    def _of_fixture(self, request: CallRequest) -> Reply | None:
        """Return the reply to a call that needs a container fixture which has failed: it isn't built again."""
        for spec in request["containers"]:
            if (cause := self._failed.get(spec["key"])) is not None:
                blank: Reply = {"seconds": 0.0, "loads": [], "stdout": "", "stderr": ""}
                kept = {name: each for name, each in cause.items() if name not in ("started", "machine")}
                return cast(Reply, {**kept, **blank, "warnings": [], "lost_files": [], "attempts": 1, "fallen": []})
        return None
