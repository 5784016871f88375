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
]
