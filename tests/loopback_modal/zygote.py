"""Containers as forks of an interpreter that has loaded Modal's runtime already: most of what a start takes.

There is one such interpreter for each environment, started for the first container that has it, and kept.
`preloaded/sitecustomize.py` is what it does. A fork is what a new process would be: its variables, modules, files,
session. Where loading the runtime could have gone otherwise there, the answer is None, for: start a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

COMMAND = ("-m", "modal._container_entrypoint")
PRELOADED = Path(__file__).parent / "preloaded"
# Beginnings of variables that Python, its libraries and the client read while they are loaded.
READ_WHEN_LOADED = re.compile("GLIBC_|LANG|LC_|LD_|MALLOC_|MODAL_|OPENSSL_|PROTOCOL_|PYTHON|SSL_|TZ")
KEPT = 4  # interpreters that a reset leaves: each has some 40 MB
SIZE = 1 << 17  # bytes of a message at most


class Fork:
    """A container's process, with what is used of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def end(self, status: int) -> None:
        """Write down the exit status, -n for a signal."""
        self.returncode = status
        self._ended.set()

    async def wait(self) -> int:
        """Return the exit status, once there is one."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Zygote:
    """One interpreter that forks, as seen from the server."""

    def __init__(self, python: Path, die_with_parent: Callable[[], None]) -> None:
        self.running: dict[int, Fork] = {}
        self._asked: deque[asyncio.Future[Fork | None]] = deque()
        self._modules: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SIZE // 2)  # the kernel doubles it
        self._life = asyncio.ensure_future(self._live(python, theirs, die_with_parent))

    async def fork(self, request: Mapping[str, Any], outputs: Iterable[int]) -> Fork | None:
        """Start a container; None where that can't be."""
        modules = await asyncio.shield(self._modules)
        names = {each.name.partition(".")[0] for each in Path(request["directory"]).iterdir()}
        if not modules or names & {*modules, "sitecustomize", "usercustomize"}:
            return None  # it would have loaded a file of its own in the place of one of these
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [*outputs])
        except OSError:  # it has ended, or the request is too long
            return None
        started: asyncio.Future[Fork | None] = asyncio.get_running_loop().create_future()
        self._asked.append(started)
        return await asyncio.shield(started)

    async def close(self) -> None:
        """End it, and with it what is left of its forks."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_WR)
        await self._life

    async def _live(self, python: Path, theirs: socket.socket, die_with_parent: Callable[[], None]) -> None:
        environment = {
            "HOME": "/",
            "LANG": "C.UTF-8",
            "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(PRELOADED),
            "PYTHONUNBUFFERED": "1",
            "MODAL_IS_REMOTE": "1",
            "LOOPBACK_ZYGOTE": str(theirs.fileno()),
        }
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    str(python),
                    *COMMAND,
                    cwd="/",
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            while data := await self._received():
                self._take(json.loads(data))
            await process.wait()
        finally:
            self._socket.close()
            if not self._modules.done():
                self._modules.set_result(set())
            for started in self._asked:
                started.set_result(None)
            for fork in self.running.values():
                fork.end(-signal.SIGKILL)  # they die with it

    async def _received(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, SIZE)
        except OSError:
            return b""

    def _take(self, word: Any) -> None:
        if isinstance(word, list):
            self._modules.set_result({*word})
        elif "started" in word:
            fork = self.running[word["started"]] = Fork(word["started"])
            self._asked.popleft().set_result(fork)
        else:
            self.running.pop(word["ended"]).end(word["status"])


class Zygotes:
    """The interpreters that fork, by their path; those that were used last come last."""

    def __init__(self, die_with_parent: Callable[[], None]) -> None:
        self._die_with_parent = die_with_parent
        self._zygotes: dict[Path, Zygote] = {}

    async def fork(
        self, python: Path, added: Iterable[str], request: Mapping[str, Any], outputs: Iterable[int]
    ) -> Fork | None:
        """Start a container as a fork; None where it must be a process of its own.

        Parameters
        ----------
        python : Path
            The interpreter of its environment.
        added : iterable of str
            The names of the variables that its image, its secrets and the test add.
        request : mapping
            Its `environment`, its `directory`, and what it is hidden: the arguments of `hiding.hide`.
        outputs : iterable of int
            The descriptors of its standard output and its standard error.
        """
        if not hasattr(os, "pidfd_open") or any(map(READ_WHEN_LOADED.match, added)):
            return None
        zygote = self._zygotes.pop(python, None) or Zygote(python, self._die_with_parent)
        self._zygotes[python] = zygote
        return await zygote.fork(request, outputs)

    async def close(self, but: int = 0) -> None:
        """End them, with all that they have forked, but so many that were used last."""
        for python in list(self._zygotes)[: len(self._zygotes) - but]:
            await self._zygotes.pop(python).close()
