"""Encode and decode, against pickle protocol 5 with out-of-band buffers: arrays, and plain rows and lists.

    python benchmarks/data_boundary.py [MEGABYTES]

Both sides do what a result goes through: serialize, join to one block of bytes, rebuild. "With memory of their
own" copies the memory of every array out of the block, so that arrays are writable and isolated; "as views" leaves
it there. Times are the fastest of runs in turn. Peak memory is what is allocated besides the value itself.
"""

from __future__ import annotations

import gc
import json
import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_modal.remote import data

Way = Callable[[Any], Any]


def ours(value: Any) -> Any:
    """Encode, join, decode."""
    return data.decode(b"".join(data.encode(value)))


def ours_as_views(value: Any) -> Any:
    """Encode, join, decode to views of the block."""
    return data.decode(b"".join(data.encode(value)), copy=False)


def pickled(value: Any) -> Any:
    """Pickle with buffers out of band, join, unpickle."""
    return _pickled(value, bytearray)


def pickled_as_views(value: Any) -> Any:
    """Pickle with buffers out of band, join, unpickle to views of the block."""
    return _pickled(value, memoryview)


def _pickled(value: Any, take: Callable[[memoryview], Any]) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    block = memoryview(b"".join([head, *views]))
    position, pieces = len(head), []
    for view in views:
        pieces.append(take(block[position : position + view.nbytes]))
        position += view.nbytes
    return pickle.loads(block[: len(head)], buffers=pieces)


def as_json(value: Any) -> Any:
    """Dump to JSON, load."""
    return json.loads(json.dumps(value).encode())


def seconds(ways: list[Way], value: Any, rounds: int = 5) -> list[float]:
    """Return the fastest run of each way; in turn, so that a busy machine slows all of them."""
    times: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            gc.collect()
            started = time.perf_counter()
            way(value)
            times[way].append(time.perf_counter() - started)
    return [min(times[way]) for way in ways]


def peak(way: Way, value: Any) -> int:
    """Return the peak of what is allocated, in bytes."""
    tracemalloc.start()
    way(value)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main(megabytes: int) -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    arrays = {str(number): rng.random(megabytes * 1_000_000 // 80) for number in range(10)}
    size = sum(array.nbytes for array in arrays.values())
    for name, us, them in (
        ("with memory of their own", ours, pickled),
        ("as views", ours_as_views, pickled_as_views),
    ):
        mine, theirs = seconds([us, them], arrays)
        memory = [peak(way, arrays) / size for way in (us, them)]
        print(f"{size / 1e9:.2f} GB of arrays {name}: {mine:.2f} s, {mine / theirs:.2f} x pickle (bar: 1.5)")
        print(f"    peak memory {memory[0]:.2f} x the payload (bar: 2), pickle {memory[1]:.2f} x")
    del arrays
    for name, value in {
        "200,000 rows": [
            {"id": f"p/{n}", "input": "1+1=", "output": "2", "time": n / 7, "ok": n % 3 > 0} for n in range(200_000)
        ],
        "200,000 dicts of two shapes": [{"id": n, "x" if n % 2 else "y": n / 7} for n in range(200_000)],
        "1,000,000 floats": rng.random(1_000_000).tolist(),
        "1,000,000 strings": [f"token {n}" for n in range(1_000_000)],
        "1,000,000 integers to floats": {n: n / 7 for n in range(1_000_000)},
        "20,000 arrays of 10": [rng.random(10) for _ in range(20_000)],
        "200,000 numpy floats": list(rng.random(200_000)),
    }.items():
        ways = [ours, pickled] if "arrays" in name or "numpy" in name else [ours, pickled, as_json]
        mine, theirs, *text = seconds(ways, value)
        against_json = "".join(f", {mine / other:.2f} x json" for other in text)
        print(f"{name}: {mine:.3f} s, {mine / theirs:.2f} x pickle{against_json}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
