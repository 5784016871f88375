"""Objects at the top of a module that are neither data nor plain code."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "objects of the standard library and of numpy",
        {
            "main.py": """
                import abc, collections, contextvars, copyreg, datetime, decimal, enum, fractions, functools, itertools
                import operator, random, re, string, threading, typing
                import numpy as np
                import pytest
                from helpers import from_other_file, cached_plain

                @functools.lru_cache
                def lru(n):
                    return n + 1

                @functools.cache
                def cache(n):
                    return n + 1

                part = functools.partial(lru, 1)
                NT = typing.NewType("NT", int)
                P = typing.ParamSpec("P")
                TVT = typing.TypeVarTuple("TVT")

                class Sentinel:
                    def __reduce__(self):
                        return "MISSING"

                MISSING = Sentinel()

                class WithLru:
                    @functools.lru_cache
                    def f(self, n):
                        return n + 1

                    @classmethod
                    @functools.cache
                    def g(cls, n):
                        return n + 1

                    @staticmethod
                    @functools.cache
                    def h(n):
                        return n + 1

                class CP:
                    @functools.cached_property
                    def p(self):
                        return 2

                class SD:
                    @functools.singledispatchmethod
                    def f(self, x):
                        return "o"

                    @f.register
                    def _(self, x: int):
                        return "i"

                @functools.singledispatch
                def sd(x):
                    return "o"

                class TO:
                    @functools.total_ordering
                    class Inner:
                        def __eq__(s, o):
                            return True

                        def __lt__(s, o):
                            return False

                class PM:
                    def f(self, a, b):
                        return a + b

                    g = functools.partialmethod(f, 1)

                class WithLock:
                    lock = threading.Lock()

                    def f(self):
                        return 2

                CV = contextvars.ContextVar("CV", default=1)
                RNG = random.Random(0)
                NPRNG = np.random.default_rng(0)
                COUNT = itertools.count(3)
                DD = collections.defaultdict(list)
                DDL = collections.defaultdict(lambda: 2)

                class Ab(abc.ABC):
                    @abc.abstractmethod
                    def f(self): ...

                class Co(Ab):
                    def f(self):
                        return 2

                TEMPLATE = string.Template("$x")
                LOCAL = threading.local()
                VIEW = {"a": 1}.keys()
                GEN = (i for i in range(3))
                MV = memoryview(b"ab")
                import types

                MP = types.MappingProxyType({"a": 1})
                NS = types.SimpleNamespace(a=1)
                import weakref

                WD = weakref.WeakValueDictionary()
                import logging

                LOG = logging.getLogger("x")
                import warnings
                import sys

                OUT = sys.stdout
                import struct

                ST = struct.Struct("<I")
                import hashlib
                import zoneinfo

                TZ = zoneinfo.ZoneInfo("UTC")
                import ast

                ARR = np.ones(3)
                DT = np.dtype("f4")
                import textwrap

                EV = threading.Event()
                import concurrent.futures
                import os

                ENV = os.environ

                def f_lru():
                    return lru(1)

                def f_cache():
                    return cache(1)

                def f_partial_of_lru():
                    return part()

                def f_lru_other_file():
                    return from_other_file(1)

                def f_lru_assigned():
                    return cached_plain(1)

                def f_newtype():
                    return NT(2)

                def f_paramspec():
                    return str(P)

                def f_typevartuple():
                    return str(TVT)

                def f_sentinel():
                    return MISSING is MISSING

                def f_lru_method():
                    return WithLru().f(1)

                def f_lru_classmethod():
                    return WithLru.g(1)

                def f_lru_staticmethod():
                    return WithLru.h(1)

                def f_cached_property():
                    return CP().p

                def f_singledispatchmethod():
                    return SD().f(1)

                def f_singledispatch():
                    return sd(1)

                def f_total_ordering():
                    return TO.Inner() <= TO.Inner()

                def f_partialmethod():
                    return PM().g(1)

                def f_class_lock():
                    return WithLock().f()

                def f_contextvar():
                    return CV.get()

                def f_rng():
                    return RNG.random()

                def f_nprng():
                    return float(NPRNG.random())

                def f_count():
                    return next(COUNT)

                def f_defaultdict():
                    return len(DD["a"])

                def f_defaultdict_lambda():
                    return DDL["a"]

                def f_abc():
                    return Co().f()

                def f_template():
                    return TEMPLATE.substitute(x=1)

                def f_threadlocal():
                    return str(LOCAL)

                def f_view():
                    return list(VIEW)

                def f_gen():
                    return list(GEN)

                def f_mv():
                    return bytes(MV)

                def f_mappingproxy():
                    return MP["a"]

                def f_ns():
                    return NS.a

                def f_weak():
                    return len(WD)

                def f_log():
                    return LOG.name

                def f_stdout():
                    return OUT.write("x")

                def f_struct():
                    return ST.size

                def f_tz():
                    return str(TZ)

                def f_event():
                    return EV.is_set()

                def f_environ():
                    return "PATH" in ENV

                def f_dtype():
                    return str(DT)

                for f in [v for k, v in sorted(globals().items()) if k.startswith("f_")]:

                    def make(f):
                        @pytest.mark.modal_gpu(function=f)
                        def test(modal_result):
                            pass

                        return test

                    globals()["test_" + f.__name__[2:]] = make(f)
                """,
            "helpers.py": """
                import functools

                @functools.lru_cache
                def from_other_file(n):
                    return n + 1

                def plain(n):
                    return n + 1

                cached_plain = functools.lru_cache(maxsize=8)(plain)
                """,
        },
        functions=("main:f_*",),
    ),
]
