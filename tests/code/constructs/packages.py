"""What packages make of a project's code, and the names by which it knows them."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "objects that packages make",
        {
            "main.py": """
                import collections, dataclasses, enum, typing, functools, math, contextlib, re
                from typing import NamedTuple
                import attrs
                import numpy as np
                import torch
                from numpy.random import default_rng
                from torch.distributed import ReduceOp
                import pydantic
                from helpers import root

                Pair = collections.namedtuple("Pair", "a b")
                Triple = collections.namedtuple("Triple", "a b c", defaults=[3])

                class Typed(NamedTuple):
                    x: int

                class TypedD(NamedTuple):
                    x: int = 1

                Made = dataclasses.make_dataclass("Made", [("x", int)])
                Colors = enum.Enum("Colors", "RED BLUE")

                @attrs.define
                class At:
                    x: int = 1

                @attrs.frozen
                class Af:
                    x: int = attrs.field(default=1, validator=attrs.validators.instance_of(int))

                class Pyd(pydantic.BaseModel):
                    x: int = 1
                    tags: list[str] = []

                @pydantic.dataclasses.dataclass
                class PydDc:
                    x: int = 1

                def same(x: int) -> int:
                    return x

                @pydantic.validate_call
                def vc(x: int) -> int:
                    return x

                ns = {}
                exec("def made(x): return x + 1", ns)
                made = ns["made"]
                ufunc = np.frompyfunc(lambda a: a + 1, 1, 1)
                vect = np.vectorize(lambda a: a + 1)

                @torch.no_grad()
                def ng(x):
                    return x + 1

                @torch.compile(backend="eager")
                def tc(x):
                    return x + 1

                @torch.jit.script
                def tj(x):
                    return x + 1

                @contextlib.contextmanager
                def cm():
                    yield 1

                @functools.wraps(math.sqrt)
                def w(x):
                    return 2

                part = functools.partial(same, 3)
                compiled_re = re.compile("a+")
                vmapped = torch.vmap(lambda x: x * 2)

                class Meta(type):
                    def __getitem__(cls, k):
                        return k

                class Reg(metaclass=Meta):
                    pass

                class Slots:
                    __slots__ = ("x",)

                    def __init__(self):
                        self.x = 1

                class Base:
                    registry = {}

                    def __init_subclass__(cls, **k):
                        super().__init_subclass__(**k)
                        Base.registry[cls.__name__] = cls

                class Child(Base):
                    pass

                class Sup:
                    def __init__(self):
                        self.v = 1

                class Sub(Sup):
                    def __init__(self):
                        super().__init__()
                        self.v += 1

                    @classmethod
                    def make(cls):
                        return cls()

                    @staticmethod
                    def two():
                        return 2

                    @property
                    def p(self):
                        return self.v

                class Net(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.l = torch.nn.Linear(1, 1)

                    def forward(self, x):
                        return self.l(x)

                class Act(torch.autograd.Function):
                    @staticmethod
                    def forward(ctx, x):
                        return x * 2

                    @staticmethod
                    def backward(ctx, g):
                        return g * 2

                def even(n):
                    return True if n == 0 else odd(n - 1)

                def odd(n):
                    return False if n == 0 else even(n - 1)

                def f_pair():
                    return list(Pair(1, 2))

                def f_triple():
                    return list(Triple(1, 2))

                def f_typed():
                    return list(Typed(1))

                def f_typedd():
                    return list(TypedD())

                def f_made():
                    return Made(1).x

                def f_colors():
                    return Colors.RED.value

                def f_attrs():
                    return At().x

                def f_attrsf():
                    return Af().x

                def f_pyd():
                    return Pyd(x="2").x

                def f_pyd_dump():
                    return Pyd.model_validate_json('{"x": 4}').model_dump()

                def f_pyddc():
                    return PydDc(x="3").x

                def f_vc():
                    return vc("1")

                def f_exec():
                    return made(1)

                def f_ufunc():
                    return int(ufunc(1))

                def f_vect():
                    return int(vect(1))

                def f_ng():
                    return ng(torch.ones(1))

                def f_tc():
                    return tc(torch.ones(1))

                def f_tj():
                    return tj(torch.ones(1))

                def f_cm():
                    with cm() as x:
                        return x

                def f_w():
                    return w(1)

                def f_part():
                    return part()

                def f_re():
                    return bool(compiled_re.match("aa"))

                def f_vmap():
                    return vmapped(torch.ones(2))

                def f_meta():
                    return Reg["k"]

                def f_slots():
                    return Slots().x

                def f_reg():
                    return sorted(Base.registry)

                def f_sub():
                    return [Sub.make().p, Sub.two()]

                def f_net():
                    return Net()(torch.ones(1, 1)).shape[0]

                def f_act():
                    return Act.apply(torch.ones(1, requires_grad=True))

                def f_rec():
                    return even(10)

                def f_reduceop():
                    return str(ReduceOp.SUM)

                def f_rng():
                    return float(default_rng(0).random())

                def f_root():
                    return root(4.0)
                """,
            "helpers.py": """
                import functools

                def wrap_installed(fn):
                    @functools.wraps(fn)
                    def inner(*a, **k):
                        assert fn is not None
                        return fn(*a, **k)

                    return inner

                import math

                root = wrap_installed(math.sqrt)
                """,
        },
        functions=("main:f_*",),
        needs=("attrs", "pydantic", "torch"),
    ),
    Construct(
        "functions that beartype checks",
        {
            "main.py": """
                import functools
                from beartype import beartype

                @beartype
                def same(x: int) -> int:
                    return x

                part = functools.partial(same, 3)

                def f():
                    return same(1)

                def f2():
                    return part()
                """,
        },
        functions=("main:f", "main:f2"),
        needs=("beartype",),
    ),
]
