"""What is bound, imported or compiled in another way than it is written."""

from __future__ import annotations

from constructs.construct import Construct

TIMED = """
    import functools

    def timed(function):
        @functools.wraps(function)
        def inner(*arguments):
            return function(*arguments)

        return inner
    """

CONSTRUCTS = [
    Construct(
        "a decorator of another file, called",
        {
            "helpers.py": TIMED,
            "main.py": """
                from helpers import timed

                def _slow(x):
                    return x + 1

                fast = timed(_slow)

                def f():
                    return fast(1)
                """,
        },
    ),
    Construct(
        "a function itself under a decorator of another file",
        {
            "helpers.py": TIMED,
            "main.py": """
                import decimal

                from helpers import timed

                decimal.getcontext().prec = 5

                @timed
                def f():
                    return decimal.getcontext().prec, f.__module__
                """,
        },
    ),
    Construct(
        "a module that fills its own table, imported in a body",
        {
            "reg.py": """
                import decimal

                TABLE = {}
                TABLE["a"] = 1

                class C:
                    x = 1

                C.x = 2
                decimal.getcontext().prec = 5
                """,
            "mid.py": """
                def g():
                    import reg

                    return reg.TABLE
                """,
            "main.py": """
                import decimal

                import mid

                def f():
                    from reg import C

                    return mid.g(), C.x, decimal.getcontext().prec
                """,
        },
    ),
    Construct(
        "imports of the future that is past",
        {
            "main.py": """
                from __future__ import absolute_import, division, print_function

                def half(x):
                    return x / 2

                def f():
                    return half(3)
                """
        },
    ),
    Construct(
        "a type variable bound to a class that opens files",
        {
            "main.py": """
                import typing

                class Text:
                    def __init__(self, path):
                        self.text = open(path).read()

                T = typing.TypeVar("T", bound=Text)

                class Holder(typing.Generic[T]):
                    pass

                def f():
                    return Holder.__name__, T.__name__
                """
        },
    ),
    Construct(
        "a module that says where it can't be imported",
        {
            "win.py": """
                import sys

                if sys.platform != "nowhere":
                    raise ImportError("elsewhere only")
                X = 1
                """,
            "main.py": """
                try:
                    from win import X
                    OK = True
                except ImportError:
                    OK = False

                def f():
                    return OK

                def f2():
                    try:
                        from win import X
                        return X
                    except ImportError as error:
                        return str(error)
                """,
        },
        ("main:f", "main:f2"),
    ),
    Construct(
        "names that other names, loops and setattr lead to",
        {
            "consts.py": "X = 1\nY = 2\n",
            "main.py": """
                import consts

                setattr(consts, "X", 5)
                A = {}
                B = {}
                for each in (A, B):
                    each["x"] = 1

                def f():
                    return consts.X, consts.Y, A, B
                """,
        },
    ),
    Construct(
        "statements that share their lines",
        {
            "main.py": """
                a = 1; b = [
                    2,
                ]; c = (a,
                        b); d = 4

                def f():
                    return a, d

                def f2():
                    return b, c
                """,
        },
        ("main:f", "main:f2"),
    ),
]
