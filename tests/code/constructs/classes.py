"""Classes: what their bodies use, what makes them, what they make."""

from __future__ import annotations

from constructs.construct import Construct

CONSTRUCTS = [
    Construct(
        "a dataclass whose default is made by a function",
        {
            "main.py": """
                import dataclasses

                DEFAULTS = ["x"]

                def make():
                    return list(DEFAULTS)

                @dataclasses.dataclass(frozen=True)
                class C:
                    name: str
                    tags: list[str] = dataclasses.field(default_factory=make)

                def f():
                    return repr(C("n")) + str(dataclasses.asdict(C("m")))
                """,
        },
    ),
    Construct(
        "enumerations",
        {
            "main.py": """
                import enum

                class E(enum.Enum):
                    A = enum.auto()
                    B = enum.auto()

                class Fl(enum.Flag):
                    X = 1
                    Y = 2

                FIRST = E.A

                def f():
                    return [E.B.value, FIRST is E.A, str(Fl.X | Fl.Y)]
                """,
        },
    ),
    Construct(
        "named tuples",
        {
            "main.py": """
                from typing import NamedTuple
                from collections import namedtuple

                class P(NamedTuple):
                    x: int
                    y: int = 2

                Q = namedtuple("Q", "a b", defaults=[5])
                ORIGIN = P(0)

                def f():
                    return [repr(P(1)), repr(Q(1)), repr(ORIGIN), type(ORIGIN) is P]
                """,
        },
    ),
    Construct(
        "a generic class, a protocol and an abstract class",
        {
            "main.py": """
                from typing import Generic, Protocol, TypeVar, runtime_checkable
                import abc

                T = TypeVar("T")

                class Box(Generic[T]):
                    def __init__(self, v: T) -> None:
                        self.v = v

                @runtime_checkable
                class S(Protocol):
                    def score(self) -> float: ...

                class A(abc.ABC):
                    @abc.abstractmethod
                    def score(self): ...

                class B(A):
                    def score(self):
                        return 1.0

                def f():
                    try:
                        A()
                    except TypeError:
                        ok = True
                    return [Box[int](3).v, isinstance(B(), S), ok]
                """,
        },
    ),
    Construct(
        "a metaclass and a descriptor",
        {
            "main.py": """
                class Meta(type):
                    made = []

                    def __new__(m, name, bases, ns):
                        cls = super().__new__(m, name, bases, ns)
                        Meta.made.append(name)
                        return cls

                    def __getitem__(cls, k):
                        return cls.__name__ + k

                class Positive:
                    def __set_name__(self, owner, name):
                        self.name = "_" + name

                    def __get__(self, o, t=None):
                        return getattr(o, self.name)

                    def __set__(self, o, v):
                        assert v > 0
                        setattr(o, self.name, v)

                class R(metaclass=Meta):
                    n = Positive()

                    def __init__(self, n):
                        self.n = n

                def f():
                    return [R["k"], R(3).n]
                """,
        },
    ),
    Construct(
        "class attributes and defaults that are computed",
        {
            "main.py": """
                WIDTH = 3
                NAMES = ("a", "b")

                def default():
                    return WIDTH * 2

                class C:
                    width = WIDTH
                    names = [n.upper() for n in NAMES]

                    def m(self, k=WIDTH, *, j=default()):
                        return k + j + self.width

                def helper(x, opts={"w": WIDTH}):
                    return x + opts["w"]

                def f():
                    return [C().m(), C.names, helper(1)]
                """,
        },
    ),
    Construct(
        "a class attribute of the name of a global",
        {
            "main.py": """
                template = "T"

                class A:
                    template = template

                    def make(f):
                        return f

                    size = make(3)

                def f():
                    return [A.template, A.size]
                """,
        },
    ),
    Construct(
        "classes whose hints are texts",
        {
            "main.py": """
                import dataclasses
                import typing
                from helpers import Leaf

                @dataclasses.dataclass
                class Node:
                    value: int
                    parent: "Node | None" = None
                    leaves: "list[Leaf]" = dataclasses.field(default_factory=list)
                    kind: typing.Literal["a", "b"] = "a"

                class Row(typing.TypedDict, total=False):
                    node: "Node"
                    name: typing.Required[str]

                def f():
                    hints = typing.get_type_hints(Node)
                    return [sorted(hints), hints["leaves"].__args__[0].__name__, Node(1, Node(2)).parent.value]

                def f2():
                    return [sorted(typing.get_type_hints(Row)), sorted(Row.__required_keys__), Row(name="x")]
                """,
            "helpers.py": """
                class Leaf:
                    pass
                """,
        },
        functions=("main:f", "main:f2"),
    ),
    Construct(
        "bases and decorators that are computed",
        {
            "main.py": """
                import functools

                FLAG = "on"

                def base(name):
                    class Made:
                        label = name

                        def __init_subclass__(cls, flag=None, **more):
                            super().__init_subclass__(**more)
                            cls.flag = flag

                    return Made

                def counted(cls):
                    cls.count = len(vars(cls)) > 0
                    return cls

                def repeat(times):
                    def decorate(function):
                        @functools.wraps(function)
                        def wrapper(*args):
                            return [function(*args) for _ in range(times)]

                        return wrapper

                    return decorate

                @counted
                class Child(base("b"), flag=FLAG):
                    class Inner:
                        width = len(FLAG)

                    @repeat(Inner.width)
                    def run(self):
                        return super().label

                    @property
                    def twice(self):
                        return self._twice

                    @twice.setter
                    def twice(self, value):
                        self._twice = 2 * value

                def f():
                    child = Child()
                    child.twice = 3
                    return [child.run(), Child.flag, Child.count, child.twice, Child.run.__name__]
                """,
        },
    ),
]
