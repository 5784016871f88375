"""No value of an environment variable travels, and what asks the machine is asked in the container."""

from __future__ import annotations

import importlib
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.code.shipping import Shipper, ShippingError

VALUE = "value-of-this-machine"
PRELUDE = """
    import dataclasses, functools, json, os, platform, shutil, subprocess, sys, tempfile
    from os import getenv as ask
    from pathlib import Path

    ROWS = Path(__file__).with_name("rows.json")
    ALIAS = os.environ

    def token(): return os.environ["VARIABLE"]

    def made(text):
        def inner(): return text
        return inner

    @dataclasses.dataclass
    class Case:
        text: str
    """
# Constants that are made from a file and hold a variable: their statement can't run there, their value must not travel.
HELD = {
    "by a helper": '{"rows": json.loads(ROWS.read_text()), "token": token()}',
    "by another name of getenv": 'json.loads(ROWS.read_text().replace("a", ask("VARIABLE")))',
    "by another name of environ": 'json.loads(ROWS.read_text().replace("a", ALIAS["VARIABLE"]))',
    "in instances": '[Case(os.environ["VARIABLE"]) for row in json.loads(ROWS.read_text())]',
    "expanded": 'json.loads(ROWS.read_text().replace("a", os.path.expandvars("$VARIABLE")))',
    "by a child": 'json.loads(ROWS.read_text().replace("a", subprocess.run("printf %s $VARIABLE", shell=True, '
    "capture_output=True, text=True).stdout))",
}
# What the container answers for itself.
ASKED = {
    "closure": 'made(os.environ["VARIABLE"])()',
    "partial": 'functools.partial(str, os.environ["VARIABLE"])()',
    "default of the machine": '"cuda" if shutil.which("nvidia-smi") else "cpu"',
    "directory": "os.getcwd()",
    "home": 'os.path.expanduser("~/.cache")',
    "temporary directory": "tempfile.gettempdir()",
    "device file": 'os.path.exists("/dev/nvidia0")',
    "output of a program": 'subprocess.run(["uname"], capture_output=True, text=True).stdout',
    "platform": "platform.node()",
    "arguments": "sys.argv[1:]",
}


# The real one takes seconds to import; only its names count here.
TORCH = """
class cuda:
    is_bf16_supported = staticmethod(lambda: False)
    device_count = staticmethod(lambda: 0)
def get_num_threads(): return 4
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("VARIABLE", VALUE)
    (tmp_path / "rows.json").write_text('["a"]')
    yield tmp_path
    for name in ("asking", "torch_of_the_suite"):
        sys.modules.pop(name, None)


def module(project: Path, expression: str) -> Any:
    text = f"{textwrap.dedent(PRELUDE)}\nCONSTANT = {expression}\n\ndef answer(): return CONSTANT\n"
    (project / "asking.py").write_text(text.lstrip("\n"))
    importlib.invalidate_caches()
    return importlib.import_module("asking")


@pytest.mark.parametrize("way", HELD)
def test_a_constant_that_holds_a_variable_is_refused(project: Path, way: str) -> None:
    loaded = module(project, HELD[way])
    line = (project / "asking.py").read_text().splitlines().index(f"CONSTANT = {HELD[way]}") + 1
    with pytest.raises(ShippingError) as refused:
        Shipper(project).ship(loaded.answer, "answer", ())
    assert str(refused.value).splitlines() == [
        "answer uses CONSTANT, which holds the value of the environment variable VARIABLE",
        f"  where: asking.py:{line}",
        "  what to do: read the variable in the function's body, and give the container one by secrets= or env=",
    ]


@pytest.mark.parametrize("way", ASKED)
def test_what_asks_the_machine_is_asked_in_the_container(project: Path, way: str) -> None:
    shipped = Shipper(project).ship(module(project, ASKED[way]).answer, "answer", ())
    assert {part.how for part in shipped.travels if part.name == "asking.CONSTANT"} == {"source"}
    texts = [zlib.decompress(payload) for payload in (shipped.payload, *(text.payload for text in shipped.modules))]
    assert not any(VALUE.encode() in text for text in texts)


@pytest.mark.parametrize(
    "question", ["torch.cuda.is_bf16_supported()", "torch.get_num_threads()", "torch.cuda.device_count() > 1"]
)
def test_torch_is_asked_in_the_container(project: Path, question: str) -> None:
    (project / "torch_of_the_suite.py").write_text(TORCH)
    text = f"import torch_of_the_suite as torch\nANSWER = {question}\ndef answer(): return ANSWER\n"
    (project / "asking.py").write_text(text)
    importlib.invalidate_caches()
    shipped = Shipper(project, travels=False).ship(
        importlib.import_module("asking").answer, "answer", ("torch_of_the_suite",)
    )
    assert {part.how for part in shipped.travels if part.name == "asking.ANSWER"} == {"source"}


def test_a_secret_in_a_value_of_a_file_is_refused_though_nothing_asked_for_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_this_machine")
    (project / "rows.json").write_text('["hf_secret_of_this_machine"]')
    loaded = module(project, "json.loads(ROWS.read_text())")
    with pytest.raises(ShippingError, match="holds the value of the environment variable HF_TOKEN"):
        Shipper(project).ship(loaded.answer, "answer", ())
