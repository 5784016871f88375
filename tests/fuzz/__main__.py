"""Fuzz what reads hostile input, in processes that are watched: ``python -m fuzz decoder 1000000``, in ``tests/``.

Each input follows from the seed and its number, and a fault names both: ``--seed S --first N`` with a count of 1 is
that input again.
"""

from __future__ import annotations

import argparse
import sys
import time

from fuzz.watched import READERS, fuzz


def main() -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    faults = fuzz(given.reader, given.count, given.seed, given.first)
    print(*faults, sep="\n")
    took = time.monotonic() - began
    print(f"{given.reader}: {given.count:,} inputs, seed {given.seed}: {len(faults)} faults, {took:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
