"""Registries: what fills a table of the module is needed by what reads it."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "a registry that decorators of another file fill",
        {
            "main.py": """
                from reg import REG
                import plugins

                def f():
                    return sorted(REG), REG["a"](1)
                """,
            "reg.py": """
                REG = {}

                def register(name):
                    def deco(g):
                        REG[name] = g
                        return g

                    return deco
                """,
            "plugins.py": """
                from reg import register

                @register("a")
                def a(x):
                    return x + 1

                @register("b")
                def b(x):
                    return x - 1
                """,
        },
    ),
    Construct(
        "a registry that statements and a loop fill",
        {
            "main.py": """
                REG = {}

                def double(x):
                    return 2 * x

                REG["double"] = double
                REG.update(triple=lambda x: 3 * x)
                for n in (4, 5):
                    REG[f"times{n}"] = lambda x, n=n: n * x

                def f():
                    return {k: v(2) for k, v in REG.items()}
                """,
        },
    ),
    Construct(
        "a registry of subclasses by __init_subclass__",
        {
            "main.py": """
                class Base:
                    known = {}

                    def __init_subclass__(cls, **k):
                        super().__init_subclass__(**k)
                        Base.known[cls.__name__] = cls

                class Child(Base):
                    pass

                class Other(Base):
                    pass

                def f():
                    return sorted(Base.known)
                """,
        },
    ),
    Construct(
        "the subclasses of a base that asks for them",
        {
            "main.py": """
                class Base:
                    pass

                class Child(Base):
                    pass

                class Other(Base):
                    pass

                def f():
                    return sorted(c.__name__ for c in Base.__subclasses__())
                """,
        },
    ),
    Construct(
        "another module's constant that is assigned, its cache that is filled",
        {
            "main.py": """
                from helpers import CACHE, remember, LIMIT
                import helpers

                helpers.LIMIT = 9
                remember("at import")

                def f():
                    return [sorted(CACHE), helpers.LIMIT, helpers.limit()]
                """,
            "helpers.py": """
                CACHE = {}
                LIMIT = 1

                def remember(k):
                    CACHE[k] = len(k)

                def limit():
                    return LIMIT
                """,
        },
    ),
    Construct(
        "a function that is called for its effects, and one that exec made",
        {
            "main.py": """
                class Codes:
                    pass

                codes = Codes()
                TABLE = {"ok": 200, "moved": 301}

                def _init():
                    for k, v in TABLE.items():
                        setattr(codes, k, v)

                _init()
                ns = {}
                exec("def made(): return 7", ns)
                made = ns["made"]

                def f():
                    return [codes.moved, made()]
                """,
        },
    ),
    Construct(
        "tables that are filled by every kind of statement",
        {
            "main.py": """
                import contextlib
                import helpers
                from helpers import LIMITS

                TABLE = {}
                LOW, HIGH = 1, 2
                TABLE["a"], TABLE["b"] = LOW, HIGH
                TABLE |= {"c": 3}
                first = other = [0, 1, 2]
                first[0] += 1
                del first[1]
                NESTED = {"inner": {"list": []}}
                NESTED["inner"]["list"].append("x")
                NESTED["inner"].setdefault("more", []).extend(["y", "z"])
                if TABLE:
                    TABLE["d"] = 4
                with contextlib.suppress(KeyError):
                    TABLE["e"] = 5
                    TABLE["f"] = TABLE["none"]
                try:
                    TABLE["g"] = 6
                finally:
                    TABLE["h"] = 7
                [TABLE.update({letter: 8}) for letter in "ij"]
                helpers.LIMITS["top"] = 9
                LIMITS.update(low=1)

                def f():
                    return [TABLE, other, NESTED, LIMITS]
                """,
            "helpers.py": """
                LIMITS = {}
                """,
        },
    ),
]
