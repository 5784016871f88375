"""Kinds of failing calls, and what each mode shows of them: one suite has them all."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """How a mode is requested, and how it names the place where a call runs."""

    name: str
    arguments: tuple[str, ...]
    container: str


LOCAL = Mode("local", ("-Werror", "-pno:asyncio"), "local-*")
MODAL = Mode("modal", ("--modal",), "ta-*")
MODES = (LOCAL, MODAL)


@dataclass(frozen=True)
class Failure:
    """The body of a GPU function that fails, and the error of the tests that need it."""

    source: str
    status: str
    what: str  # with the {call} and its {function}
    remedy: str
    traceback: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    attempts: int = 1
    environment: str = ""  # of a container fixture
    users: int = 3  # of a container fixture

    def message(self, mode: Mode, call: str, at: str = "test_it.py:*") -> list[str]:
        """Return the lines of the message, with the call's label and the place of the function."""
        return [
            self.what.format(call=call, function=call.partition("[")[0]),
            f"  where: {at}, in container {mode.container}",
            f"  what to do: {self.remedy}",
            *([f"  tried: {self.attempts} times"] if self.attempts > 1 else []),
            *(["  logs: modal app logs ap-* or https://*"] if mode is MODAL else []),
        ]


SEE_FUNCTION = "see the traceback below"
RETURN_DATA = "return numbers, strings, lists, dicts and arrays; keep what can't be data in a container fixture"
SEND_LESS = "if it ran out of memory, send less per call or set memory=; its last output is below"
TRACEBACK = "Remote traceback (most recent call last):"

# By the kind with which `work` is called.
CALLS = {
    "raise": Failure(
        r"""raise ValueError("not \x1b[31m red")""",
        "raised",
        "{call} raised ValueError",
        SEE_FUNCTION,
        traceback=(
            TRACEBACK,
            '  File "*test_it.py", line 14, in work',
            r'    raise ValueError("not \x1b[31m red")',
            r"ValueError: not \x1b[31m red",
        ),
    ),
    "chain": Failure(
        """
        try:
            {}["missing"]
        except KeyError as error:
            raise Local("local class") from error
        """,
        "raised",
        "{call} raised test_it.Local",
        SEE_FUNCTION,
        traceback=(
            TRACEBACK,
            "KeyError: 'missing'",
            "The above exception was the direct cause of the following exception:",
            TRACEBACK,
            "test_it.Local: local class",
        ),
    ),
    "exit": Failure(
        "sys.exit(3)",
        "raised",
        "{call} raised SystemExit",
        SEE_FUNCTION,
        traceback=(TRACEBACK, "SystemExit: 3"),
    ),
    "interrupt": Failure(
        "raise KeyboardInterrupt",
        "raised",
        "{call} raised KeyboardInterrupt",
        SEE_FUNCTION,
        traceback=(TRACEBACK, "KeyboardInterrupt"),
    ),
    "set": Failure(
        'return [{"logits": {1, 2}}]',
        "not data",
        "{call} returned something that is not data: "
        '{function}[0]["logits"]: set is not data; return sorted({function}[0]["logits"])',
        RETURN_DATA,
    ),
    "killed": Failure(
        r"""
        sys.stderr.write("last words\n")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        "crashed",
        "{call} crashed: the worker process was killed by SIGKILL (most often: out of memory) (phase: call)",
        SEND_LESS,
        stderr=("last words",),
        attempts=2,
    ),
    "segfault": Failure(
        """
        import ctypes
        ctypes.string_at(0)
        """,
        "crashed",
        "{call} crashed: the worker process was killed by SIGSEGV (segmentation fault) (phase: call)",
        SEND_LESS,
        attempts=2,
    ),
    "endless": Failure(
        "time.sleep(60)",
        "timed out",
        "{call} timed out after 2 s (phase: call)",
        "raise timeout= to 4, or do less work per call",
    ),
    "os-exit": Failure(
        "os._exit(0)",
        "crashed",
        "{call} crashed: the worker process ended with exit status 0 (phase: call)",
        SEND_LESS,
        attempts=2,
    ),
    "package": Failure(  # installed here, but packages=[] keeps it out of the image
        "import hypothesis",
        "raised",
        "{call} raised ModuleNotFoundError",
        "add the package to packages=, or, if it is a module of yours whose name is put together at run time, "
        "set local_packages=",
        traceback=(TRACEBACK, "ModuleNotFoundError: No module named 'hypothesis'"),
    ),
}
# Kinds that fail in a remote fixture too, which another one takes.
TAKEN = ("raise", "set", "exit", "endless")

# By the name of a container fixture.
LOADS = {
    "broken": Failure(
        """
        print("loading the broken one")
        raise OSError("no such weights")
        """,
        "raised",
        "container fixture broken, which {call} uses, raised OSError",
        SEE_FUNCTION,
        traceback=(TRACEBACK, '    raise OSError("no such weights")', "OSError: no such weights"),
        environment='gpu="L4"',
    ),
    "crashing": Failure(
        """
        import os
        os.abort()
        """,
        "crashed",
        "container fixture crashing, which {call} uses, crashed: "
        "the worker process was killed by SIGABRT (aborted) (phase: load crashing)",
        SEND_LESS,
        environment='gpu="L4"',
    ),
    "slow": Failure(
        """
        import time
        time.sleep(60)
        """,
        "timed out",
        "container fixture slow, which {call} uses, timed out after 1 s (phase: load slow)",
        "raise timeout= to 2, or do less work per call",
        environment='gpu="A10G", timeout=1',
        users=1,
    ),
}

WORK = """\
import pytest
import pytest_modal


class Local(Exception):
    def __reduce__(self):
        raise TypeError("can't be pickled")


def work(kind):
    import os, signal, sys, time
    print("working on", kind)
{failures}
    if kind == "noisy":
        print("x" * 1_000_000)
    return kind


@pytest.mark.parametrize("kind", ["first", {kinds}, "noisy", "last"])
@pytest.mark.modal_gpu(function=work, timeout=2, packages=[])
def test_work(modal_result, kind):
    assert modal_result == kind


@pytest_modal.fixture(params=["first", {taken}], timeout=2, packages=[])
def answer(request):
    return work(request.param)


@pytest_modal.fixture
def after(answer):
    return answer


def test_answer(answer): assert answer == "first"
def test_after(after): assert after == "first"
"""
WORK_AT = "test_it.py:10"

LOAD = """

@pytest_modal.fixture(scope="container", {environment})
def {name}():
{source}


@pytest_modal.fixture(params=range({users}))
def uses_{name}(request, {name}):
    return request.param


@pytest_modal.fixture
def after_{name}(uses_{name}):
    return uses_{name}


def test_{name}(uses_{name}): pass
def test_after_{name}(after_{name}): pass
"""

OTHERS = """

@pytest_modal.fixture(scope="container", gpu="A100")
def untidy():
    yield 1
    raise RuntimeError("could not clean up")


@pytest_modal.fixture
def value(untidy):
    return untidy


def test_untidy(value): assert value == 1
def test_local(): pass
"""


def suite() -> str:
    """Return a suite in which each of the calls fails, between others that don't."""
    failures = "".join(f'    if kind == "{kind}":\n{_body(call.source, 8)}\n' for kind, call in CALLS.items())
    work = WORK.format(failures=failures.rstrip(), kinds=", ".join(map(repr, CALLS)), taken=", ".join(map(repr, TAKEN)))
    loads = [
        LOAD.format(name=name, environment=load.environment, source=_body(load.source, 4), users=load.users)
        for name, load in LOADS.items()
    ]
    return "".join([work, *loads, OTHERS])


def _body(source: str, depth: int) -> str:
    return textwrap.indent(textwrap.dedent(source).strip(), " " * depth)
