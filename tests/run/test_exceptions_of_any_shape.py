"""Exceptions of any shape are reported, cut where they are too long, and cost no process; nor does what is broken."""

from __future__ import annotations

import re

import pytest
from literal_lines import assert_lines
from suite_run import section

SUITE = """
import pytest, pytest_modal

class Base(Exception):
    pass

def raises(error):
    def method(self, *_):
        raise error
    return method

class NoStr(Base):
    __str__ = __repr__ = __reduce__ = raises(RuntimeError("no str"))

class NotText(Base):
    def __str__(self): return 5

class Interrupts(Base):
    __str__ = raises(KeyboardInterrupt)

class Exits(Base):
    __str__ = raises(SystemExit(3))

class DerivedText(Base):
    def __str__(self):
        class Text(str):
            def encode(self, *_): raise RuntimeError("no encode")
        return Text("derived")

class NoNotes(Base):
    __notes__ = property(raises(RuntimeError("no notes")))

class NoLinks(Base):
    __cause__ = __context__ = __suppress_context__ = property(raises(RuntimeError("no links")))

class NoModule(type):
    @property
    def __module__(cls): raise RuntimeError("no module")

class NoGroup(ExceptionGroup):
    exceptions = property(raises(RuntimeError("no exceptions")))

def noted(message, notes):
    error = ValueError(message)
    error.__notes__ = notes
    return error

def chain(length, link):
    def deeper(n):
        try:
            raise ValueError(n)
        except ValueError as error:
            if n < length:
                if link == "cause":
                    try:
                        deeper(n + 1)
                    except ValueError as inner:
                        raise error from inner
                deeper(n + 1)
            raise
    return deeper

def long_chain(length):
    error = None
    for n in range(length):
        new = ValueError(n)
        new.__cause__ = error
        error = new
    return error

def nested(length, width):
    error = ValueError("leaf")
    for _ in range(length):
        error = ExceptionGroup("group", [error] * width)
    return error

def circle():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first

def in_itself():
    error = ValueError("inner")
    error.__cause__ = group = ExceptionGroup("in itself", [error])
    return group

def without_module(module):
    kind = type("Odd", (Base,), {})
    kind.__module__ = module
    return kind("odd")

ERRORS = {
    "no str": lambda: NoStr("x"),
    "not text": lambda: NotText("x"),
    "interrupts": lambda: Interrupts("x"),
    "exits": lambda: Exits("x"),
    "derived text": lambda: DerivedText("x"),
    "no notes": lambda: NoNotes("x"),
    "no links": lambda: NoLinks("x"),
    "no module": lambda: NoModule("Odd", (Base,), {})("x"),
    "no group": lambda: NoGroup("group", [ValueError(1)]),
    "notes are a number": lambda: noted("a number", 5),
    "a note fails": lambda: noted("broken", [NoStr("x"), "y"]),
    "a long note": lambda: noted("long", ["n" * 10_000_000, "y"]),
    "a long message": lambda: ValueError("begin" + "m" * 10_000_000 + "end"),
    "surrogates": lambda: ValueError("\\ud800\\x00"),
    "chain of 50": lambda: long_chain(50),
    "chain of 3000": lambda: long_chain(3000),
    "group of 50": lambda: ExceptionGroup("group", [ValueError(n) for n in range(50)]),
    "deep group": lambda: nested(300, 1),
    "wide group": lambda: nested(12, 3),
    "circle": circle,
    "in itself": in_itself,
    "module none": lambda: without_module(None),
    "module bytes": lambda: without_module(b"x"),
    "interrupt": KeyboardInterrupt,
    "exit": lambda: SystemExit("bye"),
    "generator exit": GeneratorExit,
    "broken pipe": BrokenPipeError,
    "out of memory": MemoryError,
}

def work(kind):
    if kind == "contexts":
        chain(100, "context")(0)
    if kind == "recursion":
        work(kind)
    if kind == "syntax":
        compile("def f(:", "helper.py", "exec")
    if kind in ERRORS:
        raise ERRORS[kind]()
    return kind

KINDS = [*ERRORS, "contexts", "recursion", "syntax", "good"]

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.modal_gpu(function=work, timeout=20)
def test_work(modal_result, kind): assert modal_result == kind
"""
SEEN = {
    "no str": ["test_it.NoStr: <str() of it raised RuntimeError>"],
    "not text": ["test_it.NotText: <str() of it raised TypeError>"],
    "interrupts": ["test_it.Interrupts: <str() of it raised KeyboardInterrupt>"],
    "exits": ["test_it.Exits: <str() of it raised SystemExit>"],
    "derived text": ["test_it.DerivedText: derived"],
    "no notes": ["test_it.NoNotes: x", "<reading its notes raised RuntimeError>"],
    "no links": ["test_it.NoLinks: x"],
    "no module": ["Odd: x"],
    "no group": ["test_it.NoGroup: group (1 sub-exception)", "  | ValueError: 1"],
    "notes are a number": ["ValueError: a number", "<reading its notes raised TypeError>"],
    "a note fails": ["ValueError: broken", "<reading its notes raised RuntimeError>"],
    "a long note": ["ValueError: long", "n*", "[... 9,980,000 characters left out ...]", "n*", "y"],
    "a long message": ["ValueError: beginmmm*", "[... 9,980,008 characters left out ...]", "mmm*end"],
    "surrogates": ["ValueError: \\ud800*"],
    "chain of 50": ["ValueError: 30", "(30 more causes left out)", "ValueError: 48", "ValueError: 49"],
    "chain of 3000": ["(2,980 more causes left out)", "ValueError: 2999"],
    "group of 50": [
        "ExceptionGroup: group (50 sub-exceptions)",
        "(1 more exceptions of the group left out)",
        "*ValueError: 48",
    ],
    "deep group": ["*(1 more exceptions of the group left out)"],
    "wide group": ["*(*more exceptions of the group left out)"],
    "circle": ["ValueError: second", "ValueError: first"],
    "in itself": ["ExceptionGroup: in itself (1 sub-exception)", "*ValueError: inner"],
    "module none": ["None.Odd: odd"],
    "module bytes": ["b'x'.Odd: odd"],
    "interrupt": ["KeyboardInterrupt"],
    "exit": ["SystemExit: bye"],
    "generator exit": ["GeneratorExit"],
    "broken pipe": ["BrokenPipeError"],
    "out of memory": ["MemoryError"],
    "contexts": ["(81 more contexts left out)", "ValueError: 100"],
    "recursion": ["RecursionError: maximum recursion depth exceeded*"],
    "syntax": ["SyntaxError: invalid syntax (helper.py, line 1)"],
}


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_an_exception_of_any_shape_is_the_error_of_its_call(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, mode: str
) -> None:
    if mode == "modal":
        request.getfixturevalue("modal_server")
    pytester.path.joinpath("test_it.py").write_text(SUITE)
    result = pytester.runpytest_subprocess(*(["--modal"] if mode == "modal" else []), "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=1, errors=len(SEEN))
    for kind, lines in SEEN.items():
        assert_lines(section(result, f"ERROR at setup of test_work[{kind}]"), lines)
    # No process was lost.
    assert re.search(r"(?m)in 1 environment and 1 container: 1 ok, \d+ raised", result.stdout.str())
    assert len(result.stdout.str()) < 1_000_000


BROKEN = """
import pytest

def work(kind):
    import builtins, contextlib, gc, os, resource, sys, tempfile, time, types, warnings

    if kind == "directory":
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
    if kind == "home": os.environ.update(HOME="/nowhere", TMPDIR="/nowhere")
    if kind == "variables": os.environ.clear()
    if kind == "streams": sys.stdout = sys.stderr = None
    if kind == "closed streams": sys.stdout.close(), sys.stderr.close()
    if kind == "files": builtins.open = None
    if kind == "paths": os.scandir = os.path.realpath = os.getcwd = None
    if kind == "clock": time.perf_counter = None
    if kind == "collector": gc.collect = None
    if kind == "memory": resource.getrusage = None
    if kind == "descriptors": resource.setrlimit(resource.RLIMIT_NOFILE, (0, 4096))
    if kind == "file size": resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    if kind == "torch": sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=None))
    if kind == "mask": os.umask(0o777)
    return kind

# Each kind in an environment, and so in a process, of its own.
KINDS = [pytest.param(kind, marks=pytest.mark.modal_gpu(env={{"KIND": kind}})) for kind in {kinds!r}]

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.modal_gpu(function=work, timeout=20)
def test_work(modal_result, kind): assert modal_result == kind
"""
BREAKS = [
    "directory",
    "home",
    "variables",
    "streams",
    "closed streams",
    "files",
    "paths",
    "clock",
    "collector",
    "memory",
    "descriptors",
    "file size",
    "torch",
    "mask",
]


def test_a_result_is_kept_whatever_its_call_has_broken(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BROKEN.format(kinds=BREAKS))
    result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=len(BREAKS))
    assert_lines(result.outlines, [f"{len(BREAKS)} calls in {len(BREAKS)} environments*: {len(BREAKS)} ok*"])
