"""Encode and decode arrays, against pickle protocol 5 with out-of-band buffers; plain rows too.

    python benchmarks/data_boundary.py [MEGABYTES]

Both sides do what a result goes through: serialize, join to one block of bytes, and rebuild arrays with memory
of their own. Peak memory is that of what is allocated besides the value itself.
"""

from __future__ import annotations

import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_modal import data


def ours(value: Any) -> Any:
    """Encode, join, decode."""
    return data.decode(b"".join(data.encode(value)))


def pickled(value: Any) -> Any:
    """Pickle with buffers out of band, join, unpickle."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    block = memoryview(b"".join([head, *views]))
    position, pieces = len(head), []
    for view in views:
        pieces.append(bytearray(block[position : position + view.nbytes]))
        position += view.nbytes
    return pickle.loads(block[: len(head)], buffers=pieces)


def seconds(function: Callable[[Any], Any], value: Any) -> float:
    """Return the fastest of three runs."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        function(value)
        times.append(time.perf_counter() - started)
    return min(times)


def peak(function: Callable[[Any], Any], value: Any) -> int:
    """Return the peak of what is allocated, in bytes."""
    tracemalloc.start()
    function(value)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main(megabytes: int) -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    arrays = {str(number): rng.random(megabytes * 1_000_000 // 80) for number in range(10)}
    size = sum(array.nbytes for array in arrays.values())
    ratio, memory = seconds(ours, arrays) / seconds(pickled, arrays), peak(ours, arrays) / size
    print(f"{size / 1e9:.2f} GB of arrays: {ratio:.2f} x pickle, peak memory {memory:.2f} x the payload")
    rows = [{"id": f"p/{n}", "input": "1+1=", "output": "2", "time": n / 7, "ok": True} for n in range(200_000)]
    for name, value in {"200,000 rows": rows, "1,000,000 floats": rng.random(1_000_000).tolist()}.items():
        print(f"{name}: {seconds(ours, value):.2f} s, pickle {seconds(pickled, value):.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
