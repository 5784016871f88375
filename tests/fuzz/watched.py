"""Inputs read in a process that is watched: it may crash, hang, or take all memory."""

from __future__ import annotations

import importlib
import multiprocessing
import random
import resource
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

READERS = ("decoder", "replies", "outcomes", "recordings", "baselines", "log")
MOST_MEMORY = 8 << 30  # bytes
MOST_SECONDS = 20.0  # for one input
MOST_FAULTS = 10


def fuzz(name: str, count: int, seed: str = "0", first: int = 0, readers: str = "fuzz.readers") -> list[str]:
    """Read so many inputs; return a line for each fault."""
    if name not in READERS:
        raise ValueError(f"{name!r} is not one of {', '.join(READERS)}")
    context = multiprocessing.get_context("spawn")
    faults: list[str] = []
    end = first + count
    while first < end and len(faults) < MOST_FAULTS:
        at, (receive, send) = context.Value("q", first), context.Pipe(duplex=False)
        worker = context.Process(target=_read, args=(readers, name, first, end, seed, at, send), daemon=True)
        worker.start()
        send.close()
        said = _watched(worker, at, receive)
        if said is None:
            break
        faults.append(f"{name}: --seed {seed} --first {at.value}: {said}")
        first = at.value + 1
    return faults


def _watched(worker: BaseProcess, at: Synchronized[int], receive: Connection) -> str | None:
    """Wait for a process; return what was wrong with the input that it read last."""
    number, since = -1, time.monotonic()
    while not receive.poll(0.2):
        if number != at.value:
            number, since = at.value, time.monotonic()
        if time.monotonic() - since > MOST_SECONDS:
            worker.kill()
            worker.join()
            return f"no answer in {MOST_SECONDS:g} s"
    try:
        said: str | None = receive.recv()
    except EOFError:
        worker.join()
        return f"the process ended, exit status {worker.exitcode}"
    worker.join()
    return said


def _read(readers: str, name: str, first: int, end: int, seed: str, at: Synchronized[int], send: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    kind = {each.__name__.lower(): each for each in importlib.import_module(readers).ALL}[name]
    with tempfile.TemporaryDirectory(dir=shared if Path(shared := "/dev/shm").is_dir() else None) as directory:
        reader, accepted = kind(Path(directory)), 0
        for number in range(first, end):
            at.value = number
            try:
                accepted += reader.once(random.Random(f"{seed}/{number}"))
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                send.send(f"{type(error).__name__}: {error!s:.300} ({where.filename}:{where.lineno})")
                return
    # Inputs that are all refused at the door, or all let in, test nothing.
    few = end - first >= 300 and not 0.01 < accepted / (end - first) < 0.99
    send.send(f"{accepted:,} of {end - first:,} inputs accepted" if few else None)
