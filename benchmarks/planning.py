"""What it takes to plan 2,000 functions in 50 files: seconds, and the size of what travels.

    python benchmarks/planning.py [--profile]

The bars are 4 s on two cores, 30 KB in all, and a median of 1 KB for what travels of one function. Importing the files
is not counted. With ``--profile`` it says where the time goes.
"""

from __future__ import annotations

import cProfile
import importlib
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_modal.batch.calls import ShippedFunction
from pytest_modal.code.shipping import Shipper
from pytest_modal.plan.sending import without_collector

FILES, FUNCTIONS = 50, 40
COMMON = '''
"""What all files use."""

import json
import math
from pathlib import Path

SCALE = 2.0
NAMES = ["add", "subtract", "multiply"]
PROBLEMS = json.loads((Path(__file__).parent / "problems.json").read_text())
REGISTRY = {}


def register(function):
    """Keep a function by its name."""
    REGISTRY[function.__name__] = function
    return function


@register
def exact(answer, expected):
    return answer == expected


@register
def close(answer, expected, tolerance=1e-6):
    return math.isclose(answer, expected, rel_tol=tolerance)


class Scorer:
    """Counts right answers."""

    def __init__(self, rule="exact"):
        self.rule = REGISTRY[rule]

    def score(self, answers):
        return sum(self.rule(answer, problem["answer"]) for answer, problem in zip(answers, PROBLEMS))


def prompt(problem, shots=0):
    """Return the text of a problem."""
    return "\\n".join([*map(str, PROBLEMS[:shots]), problem["text"]])
'''
HEAD = '''
import math
import os

import common
from common import NAMES, SCALE, Scorer, prompt

LIMIT = {number}
SHOTS = [1, 2, 3]


class Model:
    """A model."""

    size = LIMIT

    def __init__(self, seed=0):
        self.seed = seed

    def generate(self, text):
        return hash((self.seed, text)) % self.size
'''
FUNCTION = '''

CONSTANT_{n} = {n} * LIMIT


def helper_{n}(x):
    """Help one function."""
    # A comment, which stays here.
    return math.sqrt(x) * CONSTANT_{n} + len(SHOTS)


def shared_{n}(x):
    """Help several functions."""
    return helper_{n}(x) + {before}


def function_{n}(temperature: float = 1.0, shots: int = {n}) -> dict:
    """Return what a model says."""
    model = Model({n})
    texts = [prompt(problem, shots) for problem in common.PROBLEMS]
    answers = [model.generate(text) * SCALE for text in texts]
    return {{"score": Scorer().score(answers), "sum": shared_{n}(temperature), "name": NAMES[{n} % 3]}}


def test_{n}():
    assert function_{n}()
'''


def write_project(root: Path) -> None:
    """Write the files."""
    (root / "problems.json").write_text('[{"text": "1 + 1", "answer": 2}, {"text": "2 * 3", "answer": 6}]')
    (root / "common.py").write_text(COMMON.lstrip())
    for number in range(FILES):
        functions = [
            # Every fourth has a helper for itself, the others use that of the one before.
            FUNCTION.format(n=n, before=f"shared_{n - 1}(x)" if n % 4 else "0")
            for n in range(FUNCTIONS)
        ]
        (root / f"test_file_{number}.py").write_text(HEAD.format(number=number + 1).lstrip() + "".join(functions))


def plan(root: Path, functions: list[Callable[..., object]]) -> list[ShippedFunction]:
    """Do what planning does of each function."""
    shipper = Shipper(root)
    shipped = [shipper.ship(function, function.__name__, ()) for function in functions]
    for text in {text for each in shipped for text in each.modules}:
        text.payload  # noqa: B018
    return shipped


def main(profiled: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch).resolve()
        write_project(root)
        sys.path.insert(0, scratch)
        modules = [importlib.import_module(f"test_file_{number}") for number in range(FILES)]
        functions = [getattr(module, f"function_{n}") for module in modules for n in range(FUNCTIONS)]
        profile = cProfile.Profile()
        started, used = time.perf_counter(), time.process_time()
        with without_collector():  # as the planner does
            shipped = profile.runcall(plan, root, functions) if profiled else plan(root, functions)
        seconds, used = time.perf_counter() - started, time.process_time() - used
    payloads = [len(each.payload) for each in shipped]
    texts = {text: len(text.payload) for each in shipped for text in each.modules}
    print(f"{len(functions):,} functions in {FILES} files: {seconds:.2f} s, {used:.2f} s of them computing (bar: 4 s)")
    print(
        f"payloads {sum(payloads) / 1000:.0f} KB, {len(texts)} texts {sum(texts.values()) / 1000:.0f} KB (bar: 30 KB)"
    )
    print(f"a payload: median {statistics.median(payloads):.0f} B, largest {max(payloads)} B (bar: 1 KB)")
    parts = statistics.mean(len(each.parts) for each in shipped)
    print(f"{len({each.key for each in shipped}):,} keys; {parts:.0f} parts on average")
    if profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main("--profile" in sys.argv[1:])
