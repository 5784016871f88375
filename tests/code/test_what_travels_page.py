"""The page on what travels says what the code does: each row of its tables, and its example."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from constructs import travel
from constructs.construct import Construct, Expected, Returns

from pytest_modal.batch.calls import Code
from pytest_modal.batch.environment import Environment
from pytest_modal.code.shipping import Shipper, ShippingError
from pytest_modal.code.units import bound_in
from pytest_modal.plan.sending import Values
from pytest_modal.remote.data import NotDataError
from pytest_modal.remote.masks import Masks

PAGE = Path(__file__).parents[2] / "docs" / "what-travels.md"
TEXT = PAGE.read_text()


class Row(NamedTuple):
    """A row of a table: its code, and how that travels."""

    code: str
    kind: str


def rows(heading: str) -> dict[str, Row]:
    """Return the rows of the table under a heading, by their code on one line."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    found = [Row("\n".join(re.findall("`(.+?)`(?:<br>|$)", cells[0])), cells[1].strip(" |")) for cells in lines]
    return {row.code.replace("\n", "; "): row for row in found}


CONSTRUCTS = rows("How each construct travels")
ARGUMENTS = rows("Arguments")

KINDS = {
    "source": "source",
    "setting": "source",
    "value": "by value",
    "pickle": "by value (pickled)",
    "reference": "reference",
}
PRELUDE = """\
import contextlib, dataclasses, enum, functools, importlib, json, logging, os, random, threading, typing, uuid
from pathlib import Path
import numpy as np, pandas as pd, pydantic, pytest, torch
import helpers
from helpers import KNOWN, METRICS, Case, normalise, register

HERE = Path(__file__).parent
LABELS = ["A", "B"]
"""
FILES = {
    "helpers.py": """
        import dataclasses

        KNOWN = {}

        def register(function):
            KNOWN[function.__name__] = function
            return function

        def normalise(text): return text.lower()

        METRICS = {"exact": normalise}

        @dataclasses.dataclass
        class Case:
            question: str

        def lengths(labels): return [len(each) for each in labels]
        """,
    "layers.py": "class Net: pass\nclass Block: pass\n",
    "lazy.py": """
        def __getattr__(name):
            if name == "Net":
                from layers import Net
                return Net
            raise AttributeError(name)
        """,
    "write_arrays.py": """
        from pathlib import Path
        import numpy

        here = Path(__file__).parent / "suite"
        numpy.save(here / "weights.npy", numpy.arange(3.0))
        numpy.savez(here / "arrays.npz", a=numpy.arange(3.0))
        """,
    "suite/__init__.py": "",
    "suite/blocks.py": "class Block: pass\n",
    "suite/rows.json": '[{"question": "1 + 1 ="}]\n',
    "suite/rows.csv": "a\n1\n",
    "suite/stop.txt": "a the\n",
}
# What a function does with a construct, where that is not to return the last name that it binds.
USES = {
    "import helpers": 'helpers.normalise("A")',
    "from layers import *": "Block",
    "@register; def gelu(x): return x": "sorted(KNOWN)",
    'STOP = {"a", "b"}': "sorted(STOP)",
    'WORDS = set((HERE / "stop.txt").read_text().split())': "sorted(WORDS)",
    "MASK = torch.rand(3)": "MASK.shape",
    "RNG = np.random.default_rng(0)": "RNG.random()",
    "count = 0; def tick(): global count; count += 1": "(tick(), count)",
    "torch.manual_seed(0)": "torch.initial_seed()",
    'os.environ["TOKENIZERS_PARALLELISM"] = "false"': 'os.environ.get("TOKENIZERS_PARALLELISM")',
    'NAMES = []; NAMES.append("a")': "NAMES",
    'with open(HERE / "rows.json") as file: ROWS = json.load(file)': "ROWS",
    'rules = importlib.import_module("helpers")': "rules.normalise('A')",
    "def check(x): return x == pytest.approx(1)": "check(1)",
}
# The part that the row is about, where it is another than that of its last statement.
PARTS = {"from lazy import Net": "lazy.Net"}
EXPECTED: Mapping[str, Expected] = {
    'TOKEN = os.environ.get("HF_TOKEN")': Returns("None"),
    'ROWS_FILE = HERE / "rows.json"': Returns("PosixPath('/shipped/suite/rows.json')"),
}
MODULES = {code: f"suite.row{number:02}" for number, code in enumerate(CONSTRUCTS)}


class Outcome(NamedTuple):
    """How a construct travels, and whether it is there what it is here."""

    kind: str
    difference: str


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Ship a function for each row and call it without the project."""
    top = tmp_path_factory.mktemp("page")
    files = {f"{MODULES[code].replace('.', '/')}.py": module(row) for code, row in CONSTRUCTS.items()}
    construct = Construct(
        "the page",
        {**FILES, **files},
        functions=tuple(f"{name}:f" for name in MODULES.values()),
        expected={f"{MODULES[code]}:f": expected for code, expected in EXPECTED.items()},
        imported_before=("write_arrays",),
        needs=("torch", "pydantic"),
        env={"HF_TOKEN": "hf_of_this_machine"},
    )
    if reason := travel.missing(construct):
        pytest.skip(reason)
    planned = travel.plan(construct, top)
    there = travel.run(construct, planned, top)
    found = {}
    for code, name in MODULES.items():
        function = f"{name}:f"
        own = Construct(code, {}, expected={key: each for key, each in construct.expected.items() if key == function})
        refused = "refused" in planned.functions[function]
        differences = [] if refused else travel.differences(own, planned, {function: there[function]})
        found[code] = Outcome(kind(planned.functions[function], code), "\n".join(differences))
    return found


def module(row: Row) -> str:
    """Return the text of a module with the code of a row, and a function that uses it."""
    code = row.code.replace("\n", "; ")
    use = USES.get(code) or next(reversed(list(names(row.code))))
    return f"{PRELUDE}{row.code}\n\ndef f():\n    return {use}\n"


def names(code: str) -> Iterator[str]:
    """Yield the names that code binds, in its order."""
    for statement in ast.parse(code).body:
        yield from sorted(bound_in([statement]))


def kind(planned: travel.Planned, code: str) -> str:
    """Return how a construct travels: the last part of its own lines."""
    if "refused" in planned:
        return "refused"
    first = PRELUDE.count("\n") + 1
    own = range(first, first + code.count("; ") + 1)
    path = MODULES[code].replace(".", "/") + ".py"
    parts = [
        (line, how)
        for how, name, where, line in planned["travels"]
        if how in KINDS and (name == PARTS[code] if code in PARTS else where == path and line in own)
    ]
    return KINDS[max(parts)[1]] if parts else "not at all"


def test_the_table_is_read() -> None:
    assert len(CONSTRUCTS) >= 40
    assert {row.kind for row in CONSTRUCTS.values()} == {*KINDS.values(), "refused"}
    assert {*USES, *PARTS, *EXPECTED} <= CONSTRUCTS.keys()


@pytest.mark.parametrize("code", CONSTRUCTS)
def test_a_construct_travels_as_the_page_says(code: str, outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes[code].kind == CONSTRUCTS[code].kind
    assert not outcomes[code].difference


@pytest.mark.parametrize("code", ARGUMENTS)
def test_an_argument_travels_as_the_page_says(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    name = f"page_argument_{list(ARGUMENTS).index(code)}"
    text = "class Mode(enum.Enum): FAST = 'fast'\n@dataclasses.dataclass\nclass Config: steps: int = 10\n"
    text += "def normalise(text, by=''): pass\nclass Tool:\n    def run(self): pass\ndef make(n): return lambda: n\n"
    text += f"def f(x): pass\nVALUE = {code}\n"
    (tmp_path / f"{name}.py").write_text(PRELUDE.partition("import helpers")[0] + text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    sys.modules.pop(name)
    monkeypatch.setitem(sys.modules, name, module)  # until the test ends
    assert argument_kind(Values(Shipper(tmp_path), Masks(())), module.VALUE, module.f) == ARGUMENTS[code].kind


def argument_kind(values: Values, value: object, function: object) -> str:
    """Return how an argument of a function travels."""
    assert callable(function)
    try:
        _, sent = values.encoded(value, "x", "x", function, Environment())
    except (NotDataError, ShippingError):
        return "refused"
    return "code" if isinstance(sent, Code) else "data"


EXAMPLE = TEXT.partition("\n## An example\n")[2].partition("\n## ")[0]


@pytest.fixture
def example(pytester: pytest.Pytester) -> pytest.Pytester:
    """Write the files of the example."""
    pytest.importorskip("torch")
    for name, text in re.findall(r"^`(\w+\.py)`.*?:\n\n```python\n(.*?)```", EXAMPLE, re.DOTALL | re.MULTILINE):
        (pytester.path / name).write_text(text)
    (pytester.path / "rows.json").write_text('[{"question": "1 + 1 =", "correct": "2"}]')
    (pytester.path / "stop.txt").write_text("a the\n")
    return pytester


def test_the_example_passes(example: pytest.Pytester) -> None:
    example.runpytest_subprocess("-p", "no:randomly", timeout=90).assert_outcomes(passed=1)


def test_the_plan_of_the_example_is_printed_as_on_the_page(example: pytest.Pytester) -> None:
    result = example.runpytest_subprocess("--modal-plan", "-v", "-p", "no:randomly", timeout=90)
    printed = "\n".join(result.outlines).partition("\n\nenvironment: ")[2].partition("\n\n")[0]
    (shown,) = re.findall(r"```\nenvironment: (.*?)\n```", EXAMPLE, re.DOTALL)
    assert without_numbers(printed) == without_numbers(shown)


def without_numbers(text: str) -> str:
    """Return the text of a plan without sizes and versions."""
    return re.sub(r"\b[\d,.]+ (B|[KM]i?B)\b", "SIZE", re.sub(r"==[\w.]+", "==VERSION", text))


def test_the_contents_of_the_page_are_its_headings() -> None:
    headings = re.findall("^## (.+)$", TEXT, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
    assert re.findall(r"^\* \[(.+)\]\(#(.+)\)$", TEXT, re.MULTILINE) == list(zip(headings, anchors, strict=True))
