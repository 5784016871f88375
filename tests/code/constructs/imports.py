"""Imports in every form: what they bind, in which order, and what is only sometimes there."""

from __future__ import annotations

from constructs.construct import Construct, Raises

CONSTRUCTS = [
    Construct(
        "an optional package and its flag",
        {
            "main.py": """
                try:
                    import not_there_at_all as fast

                    HAS = True
                except ImportError:
                    fast = None
                    HAS = False

                def f():
                    return [HAS, fast is None]
                """,
        },
        optional={"main:f": {"not_there_at_all"}},
    ),
    Construct(
        "star imports of the standard library and of a file",
        {
            "main.py": """
                from math import *
                from consts import *

                def f():
                    return [sqrt(4), SIZE, helper(2), _hidden() if "_hidden" in globals() else None]
                """,
            "consts.py": """
                __all__ = ["SIZE", "helper"]
                SIZE = 3

                def helper(x):
                    return x * SIZE

                def _hidden():
                    return 1
                """,
        },
    ),
    Construct(
        "a star import of a package that re-exports",
        {
            "main.py": """
                from pkg import *

                def f():
                    return [a(), len(dir())]
                """,
            "pkg/__init__.py": """
                from .a import a
                from .b import b

                __all__ = ["a", "b"]
                """,
            "pkg/a.py": """
                def a():
                    return 1
                """,
            "pkg/b.py": """
                def b():
                    return 2
                """,
        },
    ),
    Construct(
        "relative imports and chains of submodules",
        {
            "main.py": """
                from pkg.sub.deep import deep
                import pkg.sub.other
                import pkg.sub.other as po

                def f():
                    return [deep(1), pkg.sub.other.other(2), po.LIMIT]
                """,
            "pkg/__init__.py": "import json\n",
            "pkg/sub/__init__.py": "from .deep import deep\n",
            "pkg/sub/deep.py": """
                from ..base import scale
                from . import other

                def deep(x):
                    return scale(x) + other.LIMIT
                """,
            "pkg/sub/other.py": """
                LIMIT = 7

                def other(x):
                    from ..base import scale

                    return scale(x)
                """,
            "pkg/base.py": """
                SCALE = 10

                def scale(x):
                    return x * SCALE
                """,
        },
    ),
    Construct(
        "two modules that import each other",
        {
            "main.py": """
                import a
                from b import g

                def f():
                    return [a.even(4), g()]
                """,
            "a.py": """
                LIMIT = 3
                from b import odd

                def even(n):
                    return True if n == 0 else odd(n - 1)
                """,
            "b.py": """
                import a
                from a import LIMIT

                def odd(n):
                    return False if n == 0 else a.even(n - 1)

                def g():
                    return LIMIT
                """,
        },
    ),
    Construct(
        "a lazy module",
        {
            "main.py": """
                import lazy
                from lazy import answer

                def f():
                    return [answer, lazy.other]
                """,
            "lazy.py": """
                TABLE = {"answer": 42, "other": 43}

                def __getattr__(name):
                    try:
                        return TABLE[name]
                    except KeyError:
                        raise AttributeError(name) from None
                """,
        },
    ),
    Construct(
        "optional packages in bodies",
        {
            "main.py": """
                import importlib.util, sys, contextlib

                def f():
                    try:
                        import flash_attn

                        return "flash"
                    except ImportError:
                        return "sdpa"

                def f2():
                    if importlib.util.find_spec("bitsandbytes") is not None:
                        import bitsandbytes

                        return "q"
                    return "full"

                def f3():
                    with contextlib.suppress(ImportError):
                        import apex

                        return "apex"
                    return "no"

                def f4():
                    import json, numpy as np

                    return json.dumps(np.arange(2).tolist())
                """,
        },
        functions=("main:f", "main:f2", "main:f3", "main:f4"),
        optional={"main:f": {"flash_attn"}, "main:f2": {"bitsandbytes"}, "main:f3": {"apex"}},
    ),
    Construct(
        "the project's modules imported in bodies",
        {
            "main.py": """
                def f():
                    import helpers
                    from pkg import mod
                    from pkg.mod import g
                    import pkg.mod as pm

                    return [helpers.h(1), mod.g(), g(), pm.LIMIT]
                """,
            "helpers.py": """
                N = 2

                def h(x):
                    return x + N
                """,
            "pkg/__init__.py": "",
            "pkg/mod.py": """
                LIMIT = 4

                def g():
                    return LIMIT
                """,
        },
    ),
    Construct(
        "a module by name, and a constant patched by name",
        {
            "main.py": """
                import helpers
                import helpers as hh
                import importlib

                def f():
                    return [helpers.h(1), getattr(hh, "N"), importlib.import_module("helpers").h(2)]

                def f2():
                    from unittest import mock

                    with mock.patch("helpers.N", 100):
                        return helpers.h(1)
                """,
            "helpers.py": """
                N = 2
                M = open(__file__).read()

                def h(x):
                    return x + N
                """,
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "a module that can't be imported here and is never reached",
        {
            "main.py": """
                import sys

                if sys.platform == "nowhere":
                    import win_only

                def f():
                    if sys.platform == "nowhere":
                        import win_only

                        return win_only.g()
                    return "fine"
                """,
            "win_only.py": """
                import not_there_at_all

                def g():
                    return not_there_at_all
                """,
        },
        optional={"main:f": {"not_there_at_all"}},
    ),
    Construct(
        "two files with one module name",
        {
            "a/conftest.py": """
                X = 1

                def f():
                    return X
                """,
            "b/conftest.py": """
                X = 2

                def f():
                    return X
                """,
            "main.py": """
                import importlib.util, pathlib

                def load(p):
                    spec = importlib.util.spec_from_file_location("conftest", pathlib.Path(__file__).parent / p)
                    m = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(m)
                    return m

                fa = load("a/conftest.py").f
                fb = load("b/conftest.py").f

                def f():
                    return [fa(), fb()]
                """,
        },
        functions=("main:f", "main:fa", "main:fb"),
    ),
    Construct(
        "a package by pytest.importorskip",
        {
            "main.py": """
                import pytest

                np = pytest.importorskip("numpy")
                pytestmark = pytest.mark.skipif(False, reason="")

                def f():
                    return np.arange(3)
                """,
        },
    ),
    Construct(
        "a module that looks itself up",
        {
            "main.py": """
                from __future__ import annotations
                import dataclasses, sys, typing, importlib
                from typing import Optional

                @dataclasses.dataclass
                class Config:
                    name: Optional[str] = None

                def evaluate(n):
                    return n + 1

                def f():
                    return [
                        sys.modules[__name__].evaluate(1),
                        globals()["evaluate"](2),
                        importlib.import_module(__name__).evaluate(3),
                        list(typing.get_type_hints(Config)),
                    ]
                """,
        },
    ),
    Construct(
        "packages that are only perhaps there",
        {
            "main.py": """
                import contextlib, importlib.util, sys
                from typing import TYPE_CHECKING

                try:
                    import xformers

                    HAS = True
                except ImportError:
                    HAS = False

                def f_try():
                    try:
                        import flash_attn

                        return "flash"
                    except ImportError:
                        return "sdpa"

                def f_suppress():
                    with contextlib.suppress(ImportError):
                        import apex

                        return "apex"
                    return "no"

                def f_find_spec():
                    if importlib.util.find_spec("bitsandbytes"):
                        import bitsandbytes

                        return "bnb"
                    return "no"

                def f_flag():
                    if HAS:
                        import xformers.ops

                        return "x"
                    return "no"

                def f_type_checking():
                    if TYPE_CHECKING:
                        from vllm import LLM
                    return "ok"

                def f_platform():
                    if sys.platform == "darwin":
                        import mlx.core

                        return "mlx"
                    return "linux"

                def f_never():
                    def rarely():
                        import deepspeed

                    return "ok"

                def f_pinned():
                    try:
                        import liger_kernel
                    except ImportError:
                        pass
                    return "ok"
                """,
        },
        functions=("main:f_*",),
        required={"main:f_never": {"deepspeed"}},
        optional={
            "main:f_find_spec": {"bitsandbytes"},
            "main:f_flag": {"xformers"},
            "main:f_pinned": {"liger_kernel"},
            "main:f_platform": {"mlx"},
            "main:f_suppress": {"apex"},
            "main:f_try": {"flash_attn"},
        },
    ),
    Construct(
        "a package that only this machine has, of one function",
        {
            "main.py": """
                import only_here

                def f():
                    return only_here.one()

                def f2():
                    return 2
                """,
        },
        functions=("main:f", "main:f2"),
        packages_here={"only_here.py": "def one():\n    return 1\n"},
        required={"main:f": {"only_here"}},
        expected={"main:f": Raises("ModuleNotFoundError: No module named 'only_here'")},
    ),
    Construct(
        "a module that fails there, of some functions",
        {
            "main.py": """
                import helpers
                from fails import one

                def f():
                    return one()

                def f2():
                    return helpers.two()

                def f3():
                    return one() + helpers.two()
                """,
            "fails.py": """
                import os

                STATE = "loaded" if os.environ.get("THERE") is None else 1 / 0

                def one():
                    return len(STATE)
                """,
            "helpers.py": """
                def two():
                    return 2
                """,
        },
        functions=("main:f", "main:f2", "main:f3"),
        expected={
            "main:f": Raises("ZeroDivisionError: division by zero"),
            "main:f3": Raises("ZeroDivisionError: division by zero"),
        },
        env_there={"THERE": "1"},
    ),
    Construct(
        "a module that threads import at once",
        {
            "main.py": """
                from concurrent.futures import ThreadPoolExecutor

                def work(n):
                    import slow
                    from slow import thrice

                    return slow.twice(n) + thrice(n)

                def f():
                    with ThreadPoolExecutor(8) as pool:
                        return sum(pool.map(work, range(40)))
                """,
            "slow.py": """
                import time

                FACTOR = 2
                time.sleep(0.1)

                def twice(n):
                    return FACTOR * n

                def thrice(n):
                    return (FACTOR + 1) * n
                """,
        },
    ),
    Construct(
        "packages without __init__, and what modules know of themselves",
        {
            "main.py": """
                import space.inner
                import space.inner.deep as deep
                from space.inner import deep as again
                from pkg import tools

                def f():
                    return [space.inner.deep.NAME, deep is again, deep.PACKAGE, tools.run(), tools.DOC]
                """,
            "space/inner/deep.py": """
                NAME = __name__
                PACKAGE = __package__
                """,
            "pkg/__init__.py": """
                from . import tools as tools
                from .tools import run as run_it

                VERSION = "1"
                """,
            "pkg/tools.py": """
                '''Tools.'''
                import sys

                DOC = __doc__

                def run():
                    from . import VERSION
                    from pkg import run_it

                    return [VERSION, run_it is run, sys.modules[__package__].VERSION]
                """,
        },
    ),
    Construct(
        "modules that are imported afresh",
        {
            "main.py": """
                import importlib
                import sys
                import helpers
                from unittest import mock

                def f():
                    helpers.N = 5
                    return [helpers.h(1), importlib.reload(helpers).h(1), helpers.N]

                def f2():
                    helpers.N = 5
                    with mock.patch.dict(sys.modules):
                        del sys.modules["helpers"]
                        import helpers as again
                    return [again is helpers, again.h(1), helpers.h(1), sys.modules["helpers"] is helpers]
                """,
            "helpers.py": """
                N = 2
                M = {}

                def h(x):
                    return x + N + len(M)

                M["k"] = h
                """,
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "names that only look like names of the project",
        {
            "main.py": """
                import pytest
                import utils

                def check():
                    with pytest.raises(ValueError):
                        raise ValueError

                class Model:
                    layers = [1, 2]

                    def modules(self):
                        return self.layers

                def f():
                    return [each for each in Model().modules()], getattr(Model(), "check", "none"), "layers"

                def f2():
                    return pick(utils)

                def pick(module):
                    return module.scale(2)
                """,
            "layers.py": """
                import pytest

                @pytest.fixture
                def unused():
                    return 1

                def of_tests():
                    pytest.importorskip("numpy")
                """,
            "utils.py": """
                import pytest

                requires_gpu = pytest.mark.skipif(True, reason="no GPU")

                @pytest.fixture
                def unused():
                    return 1

                def scale(x):
                    return 2 * x
                """,
        },
        functions=("main:f", "main:f2"),
    ),
]
