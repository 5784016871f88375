"""Functions of every kind: closures, wrappers, generators, methods."""

from __future__ import annotations

from constructs.construct import Construct, Returns

CONSTRUCTS = [
    Construct(
        "closures, lambdas, partials, methods and instances",
        {
            "main.py": """
                import functools
                from helpers import scale

                OFFSET = 2

                class Model:
                    def __init__(self, k):
                        self.k = k

                    def run(self):
                        return scale(self.k) + OFFSET

                    def __call__(self):
                        return self.run() * 2

                    @classmethod
                    def build(cls):
                        return cls(1).k

                    @staticmethod
                    def stat():
                        return OFFSET

                def make(n):
                    def inner():
                        def fact(k):
                            return 1 if k < 2 else k * fact(k - 1)

                        return scale(n) + OFFSET + fact(3)

                    return inner

                f1 = make(3)
                f2 = lambda: scale(5) + OFFSET
                f3 = functools.partial(scale, 4)
                f4 = Model(2).run
                f5 = Model(3)
                f6 = Model.build
                f7 = Model.stat

                def deco(g):
                    @functools.wraps(g)
                    def wrapper(*a):
                        return ("wrapped", g(*a))

                    return wrapper

                @deco
                def f8():
                    return OFFSET

                fs = [lambda: OFFSET + 10]
                f9 = fs[0]
                """,
            "helpers.py": """
                K = 10

                def scale(x):
                    return x * K
                """,
        },
        functions=("main:f1", "main:f2", "main:f3", "main:f4", "main:f5", "main:f6", "main:f7", "main:f8", "main:f9"),
    ),
    Construct(
        "a context manager, a generator and a coroutine",
        {
            "main.py": """
                import asyncio, contextlib

                @contextlib.contextmanager
                def cm():
                    yield 5

                def gen(n):
                    yield from range(n)

                async def slow(x):
                    await asyncio.sleep(0)
                    return x + 1

                def f():
                    with cm() as x:
                        return [x, list(gen(3)), asyncio.run(slow(1))]
                """,
        },
    ),
    Construct(
        "dispatch by type and a cache",
        {
            "main.py": """
                import functools

                @functools.singledispatch
                def sd(x):
                    return "other"

                @sd.register
                def _(x: int):
                    return "int"

                @sd.register(str)
                def of_str(x):
                    return "str"

                @functools.cache
                def fib(n):
                    return n if n < 2 else fib(n - 1) + fib(n - 2)

                part = functools.partial(fib, 10)

                def f():
                    return [sd(1), sd("a"), sd(2.0), fib(20), part()]
                """,
        },
    ),
    Construct(
        "the frames of a traceback",
        {
            "main.py": """
                def inner(x):
                    return 1 / x

                def f():
                    import traceback

                    try:
                        inner(0)
                    except ZeroDivisionError as error:
                        frames = traceback.extract_tb(error.__traceback__)
                        return [[each.filename, each.lineno, each.name, each.line] for each in frames]
                """,
        },
        expected={
            "main:f": Returns(
                "[['/shipped/main.py', 8, 'f', 'inner(0)'], ['/shipped/main.py', 2, 'inner', 'return 1 / x']]"
            )
        },
    ),
    Construct(
        "attributes of functions, and methods that are assigned later",
        {
            "main.py": """
                import json
                import helpers
                from helpers import Runner

                def count():
                    count.calls += 1
                    return count.calls

                count.calls = 10

                def run(self):
                    return ["patched", self.name, count()]

                Runner.run = run
                helpers.settings.level.value = 7
                json.JSONEncoder.default = lambda self, o: f"<{type(o).__name__}>"

                def f():
                    return [Runner("a").run(), helpers.level(), json.dumps(object())]
                """,
            "helpers.py": """
                class Level:
                    value = 1

                class Settings:
                    def __init__(self):
                        self.level = Level()

                settings = Settings()

                class Runner:
                    def __init__(self, name):
                        self.name = name

                    def run(self):
                        return "not patched"

                def level():
                    return settings.level.value
                """,
        },
    ),
    Construct(
        "closures that share a variable",
        {
            "main.py": """
                import functools
                import operator

                def counter(start):
                    n = start

                    def up():
                        nonlocal n
                        n += 1
                        return n

                    def get():
                        return n

                    class Both:
                        def __call__(self):
                            return [up(), up(), get(), __class__.__name__]

                    return Both()

                def add(a, b, *, c=0):
                    return a + b + c

                class Slotted:
                    __slots__ = ("x", "again")

                    def __init__(self, x):
                        self.x = x
                        self.again = self

                    def get(self):
                        return [self.x, self.again is self]

                class Derived(Slotted):
                    @classmethod
                    def make(cls):
                        return [cls.__name__, cls(3).get()]

                both = counter(4)
                added = functools.partial(functools.partial(add, 1), c=add(1, 1), b=2)
                got = Slotted(5).get
                made = Derived.make
                called = functools.partial(operator.methodcaller("get"), Slotted(6))
                compared = functools.partial(max, [3, 1], key=lambda x: -add(x, 0))
                """,
        },
        functions=("main:both", "main:added", "main:got", "main:made", "main:called", "main:compared"),
    ),
]
