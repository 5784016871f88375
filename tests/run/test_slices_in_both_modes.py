"""Code behaves in a container as it does in its files: suites that look at their own code, run in both places.

Each suite writes what it got with ``save_json``; both runs must write the same bytes, and so would the suite here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import textwrap
import zlib
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal
from suite_run import files_of_tests

from pytest_modal.remote import data

PROJECT = {
    "conftest.py": """
        import torch
        torch.set_default_dtype(torch.float64)
        """,
    "layers.py": """
        import torch
        import torch.nn.functional as F

        SCALE = 0.5

        def scaled(x): return F.gelu(x) * SCALE

        class Block(torch.nn.Module):
            def forward(self, x): return F.relu(x)
        """,
    "registry.py": """
        KNOWN = {}

        def register(function):
            KNOWN[function.__name__] = function
            return function
        """,
    "plugins.py": """
        from registry import register

        @register
        def double(x): return 2 * x

        @register
        def triple(x): return 3 * x
        """,
}
TORCH = """
    import dataclasses, inspect, typing
    import pydantic
    import pytest_modal
    import torch
    import torch.nn.functional as F
    from layers import Block, scaled

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()
        def forward(self, x): return F.softmax(self.block(x), -1)

    class Gate(torch.nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x
            return -x

    class Row(pydantic.BaseModel):
        x: int = 1

    @dataclasses.dataclass
    class Arguments:
        model: str
        steps: int = 10

    def look_up(city: str, n: int = 1) -> str:
        '''Look up.

        Args:
            city: The city.
            n: How many.
        '''
        return city

    def helper(x):
        return x + 1  # a comment that stays

    @pytest_modal.fixture(scope="container")
    def net(): return Net().eval()

    @pytest_modal.fixture
    def compiled(net):
        whole = torch.compile(net, backend="eager")(torch.ones(2, 4))
        step = torch.compile(lambda x: scaled(x) + 1, backend="eager", fullgraph=True)(torch.ones(3))
        return [whole, step]

    @pytest_modal.fixture
    def looked_at():
        from transformers import HfArgumentParser
        from transformers.utils import get_json_schema
        return {
            "scripted": torch.jit.script(Gate())(torch.ones(2)),
            "source": [inspect.getsource(helper), inspect.getsource(Gate)],
            "dtype": str(torch.ones(1).dtype),
            "row": Row(x="3").x,
            "hints": sorted(typing.get_type_hints(Arguments)),
            "parsed": HfArgumentParser(Arguments).parse_args_into_dataclasses(args=["--model", "m"])[0].model,
            "schema": get_json_schema(look_up)["function"]["name"],
        }

    def test_compiled(compiled, save_json): save_json("compiled.json", compiled)

    def test_looked_at(looked_at, save_json):
        assert looked_at["dtype"] == "torch.float64"
        assert looked_at["source"][0].endswith("return x + 1  # a comment that stays\\n")
        save_json("looked_at.json", looked_at)
    """
PROCESSES = """
    import multiprocessing, pickle, sys
    import pytest_modal

    BASE = 3

    def words(text): return len(text.split()) + BASE

    def reduce(rank, world, port, shared):
        import os
        import torch
        import torch.distributed as dist
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=world)
        tensor = torch.tensor([float(rank + 1)])
        dist.all_reduce(tensor)
        shared[rank] = tensor.item()
        dist.destroy_process_group()

    @pytest_modal.fixture(env={"TMPDIR": "/tmp"})
    def spawned():
        import socket
        import torch.multiprocessing as mp
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with mp.Manager() as manager:
            shared = manager.dict()
            mp.spawn(reduce, args=(2, port, shared), nprocs=2)
            return dict(shared)

    @pytest_modal.fixture(env={"TMPDIR": "/tmp"})
    def pooled():
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            return [*pool.map(words, ["a b", "c"]), pickle.loads(pickle.dumps(words))("x")]

    def test_spawned(spawned): assert spawned == {0: 3.0, 1: 3.0}
    def test_pooled(pooled): assert pooled == [5, 4, 4]
    """
CODE = """
    import dataclasses, enum, functools
    import pytest, pytest_modal
    import plugins
    import torch
    from registry import KNOWN

    class Mode(enum.Enum):
        FAST = "fast"

    @dataclasses.dataclass
    class Config:
        hidden: int = 4
        mode: Mode = Mode.FAST

    def here(x): return x + 1

    VALUES = [Config(), Mode.FAST, Config, here, lambda x: x + 2, functools.partial(int, base=2), torch.float16,
              torch.device("cpu"), [torch.float16, {"mode": Mode.FAST}], torch.nn.functional.relu]

    def about(value):
        known = [value is Config, value is here, value is Mode.FAST, value == torch.float16]
        called = value(1) if type(value).__name__ == "function" and value.__name__ in ("here", "<lambda>") else None
        return [type(value).__name__, getattr(value, "hidden", None), known, called]

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: getattr(value, "__name__", None))
    @pytest.mark.modal_gpu(function=about)
    def test_argument(value, modal_result, save_json):
        assert modal_result == about(value)
        save_json("about.json", modal_result)

    def registered(): return sorted(KNOWN), [f(2) for f in KNOWN.values()]

    @pytest.mark.modal_gpu(function=registered)
    def test_registered(modal_result): assert modal_result == (["double", "triple"], [4, 6])
    """
MODULES = """
    import sys
    import pytest_modal
    import plugins
    from registry import KNOWN

    @pytest_modal.fixture
    def files():
        names = ["test_it", "plugins", "registry"]
        return {name: [sys.modules[name].__file__, sys.modules[name].__spec__.origin] for name in names} | {
            "of the project": [each for each in sys.modules.values() if "/project/" in str(vars(each).get("__file__"))]
        }

    @pytest_modal.fixture
    def failing():
        KNOWN["double"]("x" + 1)

    def test_files(files):
        expected = {name: [f"/shipped/{name}.py"] * 2 for name in ("test_it", "plugins", "registry")}
        assert files == expected | {"of the project": []}

    def test_failing(failing): pass
    """
SUITES = {
    "torch and libraries that read code": (TORCH, {"passed": 2}),
    "processes": (PROCESSES, {"passed": 2}),
    "code as arguments": (CODE, {"passed": 11}),
    "modules": (MODULES, {"passed": 1, "errors": 1}),
}


def project(pytester: pytest.Pytester, source: str) -> Path:
    """Write the files of the project, and a suite."""
    root = pytester.mkdir("project")
    for name, text in {**PROJECT, "test_it.py": source}.items():
        (root / name).write_text(textwrap.dedent(text).strip() + "\n")
    return root


@pytest.mark.parametrize("name", SUITES)
def test_both_modes_give_the_same(
    pytester: pytest.Pytester, modal_server: LoopbackModal, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, outcomes = SUITES[name]
    for needed in ("torch", "transformers", "pydantic"):
        if needed in source + "".join(PROJECT.values()) and importlib.util.find_spec(needed) is None:
            pytest.skip(f"needs {needed}")
    root = project(pytester, source)
    monkeypatch.chdir(root)
    written = {}
    for mode in ("local", "modal"):
        arguments = (f"--modal-mode={mode}", f"--modal-output-dir={mode}", "-p", "no:randomly")
        result = pytester.runpytest_subprocess(*arguments, "--rootdir", str(root), str(root), timeout=150)
        result.assert_outcomes(**outcomes)
        written[mode] = files_of_tests(root / mode)
        if "errors" in outcomes:
            result.stdout.fnmatch_lines(
                [f'*File "{root}/test_it.py", line 15, in failing', '    KNOWN?"double"?("x" + 1)']
            )
    assert written["local"].keys() == written["modal"].keys()
    assert {n: t for n, t in written["local"].items() if n != "artifacts.json"} == {
        n: t for n, t in written["modal"].items() if n != "artifacts.json"
    }


WAYS = """
    import functools, os
    from os import environ, getenv
    from os import environ as env
    from dataclasses import dataclass, field
    import pytest
    from settings import by_helper, by_getenv_of_helper

    TOKEN = os.environ.get("SECRET_OF_THIS_MACHINE")
    ALL = dict(os.environ)
    COPY = os.environ.copy()
    HEADERS = {"Authorization": f"Bearer {TOKEN}"}

    @dataclass
    class Settings:
        token: str = field(default_factory=lambda: os.environ.get("SECRET_OF_THIS_MACHINE"))

    SETTINGS = Settings()

    def closed_over(token):
        def inner(): return bool(token)
        return inner

    def f_environ(): return bool(environ.get("SECRET_OF_THIS_MACHINE"))
    def f_alias(): return bool(env.get("SECRET_OF_THIS_MACHINE"))
    def f_getenv(): return bool(getenv("SECRET_OF_THIS_MACHINE"))
    def f_module(): return bool(os.environ.get("SECRET_OF_THIS_MACHINE"))
    def f_helper(): return bool(by_helper())
    def f_getenv_of_helper(): return bool(by_getenv_of_helper())
    def f_constant(): return bool(TOKEN)
    def f_dict(): return "SECRET_OF_THIS_MACHINE" in ALL
    def f_copy(): return "SECRET_OF_THIS_MACHINE" in COPY
    def f_headers(): return "hunter" in str(HEADERS)
    def f_default(token=os.environ.get("SECRET_OF_THIS_MACHINE")): return bool(token)
    def f_instance(): return bool(SETTINGS.token)
    f_partial = functools.partial(bool, TOKEN)

    FUNCTIONS = {name: value for name, value in list(globals().items()) if name[:2] == "f_" and callable(value)}

    def make(function):
        @pytest.mark.modal_gpu(function=function)
        def test(modal_result): assert modal_result is False
        return test

    for name, function in FUNCTIONS.items():
        if name != "f_partial":
            globals()["test_" + name] = make(function)
    """
HELPERS = """
    from os import environ, getenv
    def by_helper(): return environ.get("SECRET_OF_THIS_MACHINE")
    def by_getenv_of_helper(): return getenv("SECRET_OF_THIS_MACHINE")
    """
SECRET = "hunter2-does-not-travel"


def test_no_value_of_an_environment_variable_reaches_modal(
    pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_MACHINE", SECRET)
    pytester.makepyfile(test_it=WAYS, settings=HELPERS)
    pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90).assert_outcomes(passed=12)
    facts = modal_server.facts()
    received = [modal_server.received(each["id"]) for kind in ("functions", "inputs") for each in facts[kind]]
    assert len(received) > 12
    for raw in received:
        for piece in unpacked(raw):
            assert SECRET.encode() not in piece


def unpacked(raw: bytes) -> list[bytes]:
    """Return what a payload holds: itself, and all that is compressed in it."""
    pieces, at = [raw], raw.find(b"x\x9c")
    while at >= 0:
        with contextlib.suppress(zlib.error):
            pieces += unpacked(zlib.decompressobj().decompress(raw[at:]))
        at = raw.find(b"x\x9c", at + 1)
    return pieces


def test_what_is_scanned_is_what_travels() -> None:
    packed = zlib.compress(b"".join(data.encode({"source": f"TOKEN = {json.dumps(SECRET)}" * 3})))
    assert any(SECRET.encode() in piece for piece in unpacked(b"..." + packed + b"..."))
