"""Statements at the top of a module other than plain definitions."""

from __future__ import annotations

from constructs.construct import Construct, Returns

CONSTRUCTS = [
    Construct(
        "a definition under a condition",
        {
            "main.py": """
                import sys

                if sys.version_info >= (3, 11):

                    def g():
                        return "new"
                else:

                    def g():
                        return "old"

                def f():
                    return g()
                """,
        },
    ),
    Construct(
        "assignments of every form",
        {
            "main.py": """
                if (n := 5) > 3:
                    BIG = True
                TOTAL = 1
                TOTAL += n
                tmp = [1, 2]
                COPY = [x * 2 for x in tmp]
                LAMBDAS = [lambda x, k=k: x + k for k in tmp]
                del tmp
                match n:
                    case 5:
                        KIND = "five"
                    case _:
                        KIND = "other"
                for i in range(3):
                    LAST = i

                def f():
                    return [n, BIG, TOTAL, COPY, [g(1) for g in LAMBDAS], KIND, LAST, i]
                """,
        },
    ),
    Construct(
        "state that functions assign by global",
        {
            "main.py": """
                COUNT = 0
                _cache = None

                def bump():
                    global COUNT, NEW
                    COUNT += 1
                    NEW = "made at run time"
                    return COUNT

                def get():
                    global _cache
                    if _cache is None:
                        _cache = object()
                    return _cache

                def f():
                    return [bump(), bump(), get() is get(), NEW]

                def f2():
                    return [bump(), get() is get()]
                """,
        },
        functions=("main:f", "main:f2"),
        expected={"main:f": Returns("[1, 2, True, 'made at run time']"), "main:f2": Returns("[3, True]")},
    ),
    Construct(
        "a script's guard",
        {
            "main.py": """
                import sys

                def g():
                    return 1

                if __name__ == "__main__":
                    g = None
                    sys.exit(g())

                def f():
                    return g()
                """,
        },
    ),
    Construct(
        "a logger and a filter of warnings",
        {
            "main.py": """
                import logging, warnings

                log = logging.getLogger(__name__)
                log.setLevel(logging.ERROR)
                warnings.filterwarnings("error", category=UserWarning)

                def f():
                    log.error("x")
                    try:
                        warnings.warn("boom", UserWarning)
                        r = "no"
                    except UserWarning:
                        r = "filtered"
                    return [log.name, log.level, r]
                """,
        },
    ),
    Construct(
        "several statements on a line",
        {
            "main.py": """
                import math, json; from math import pi as PI, tau as TAU
                A = 1; B = A + 1; B += 1; SEEN = []; SEEN.append(B)
                class C: x = A; y = B
                if A: LATE = 4; \\
                    MORE = LATE + 1
                def g(): a = A; return a + B
                def f(): return [g(), C.y, SEEN, LATE, MORE, math.floor(PI), TAU > PI]
                """,
        },
    ),
    Construct(
        "every way to bind a name",
        {
            "main.py": """
                import os.path as osp
                import xml.etree.ElementTree
                from typing import Final

                (A, B), *REST = (1, 2), 3, 4
                LIMIT: Final = A + B
                DECLARED: int
                with open(__file__) as stream:
                    FIRST = stream.readline()
                try:
                    import not_there_at_all as quick
                except ImportError:
                    def quick(x):
                        return x * LIMIT
                else:
                    quick = quick.run
                finally:
                    DONE = True
                for KEY, (LOW, HIGH) in {"k": (1, 2)}.items():
                    SPAN = HIGH - LOW
                else:
                    ELSE = KEY
                while (LEFT := A) < 0:
                    pass
                FOUND = [last := n for n in REST]

                def f():
                    return [A, B, REST, LIMIT, FIRST, quick(2), DONE, SPAN, ELSE, LEFT, FOUND, last]

                def f2():
                    return [osp.join("a", "b"), xml.etree.ElementTree.fromstring("<a/>").tag, "DECLARED" in globals()]
                """,
        },
        functions=("main:f", "main:f2"),
        optional={"main:f": {"not_there_at_all"}},
    ),
    Construct(
        "names that only a function declares global",
        {
            "helpers.py": """
                def init(value):
                    global LIMIT, NEVER_READ
                    LIMIT = value

                class Setup:
                    def __init__(self):
                        global STATE
                        STATE = {"ready": True}
                """,
            "main.py": """
                import helpers
                from helpers import Setup

                def init():
                    global A
                    A = 1
                    deeper()

                def deeper():
                    global B
                    B = A + 1

                init()
                helpers.init(7)
                Setup()

                def f():
                    return [A, B, helpers.LIMIT]

                def f2():
                    return helpers.STATE
                """,
        },
        functions=("main:f", "main:f2"),
    ),
]
