"""Placeholders for the values of container fixtures on this machine: every use of one fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from pytest_modal.wording import three_parts


class ContainerValue:
    """The placeholder for a value that never leaves its container.

    pytest passes it to the remote fixtures that request the container fixture. Every other use is a mistake in a test
    and must not look like a result: only `repr`, which tracebacks need, returns one.

    Parameters
    ----------
    name, where : str
        The container fixture, and the ``path:line`` of its function.
    """

    __slots__ = ("_name", "_where")

    def __init__(self, name: str, where: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_where", where)

    def __repr__(self) -> str:
        return f"<container fixture {object.__getattribute__(self, '_name')!r}>"

    def __getattr__(self, attribute: str) -> NoReturn:
        __tracebackhide__ = True
        _refuse(self, f"its attribute {attribute!r}")


def _refuse(value: ContainerValue, use: str) -> NoReturn:
    __tracebackhide__ = True
    name, where = (object.__getattribute__(value, attribute) for attribute in ("_name", "_where"))
    pytest.fail(
        three_parts(
            f"the value of the container fixture {name!r} never leaves the container, but the test uses {use}",
            where,
            f"write a @pytest_modal.fixture that requests {name!r} and returns data, and request that",
        )
    )


def _refusal(use: str) -> Callable[..., NoReturn]:
    def refuse(self: ContainerValue, *args: object, **kwargs: object) -> NoReturn:
        __tracebackhide__ = True
        _refuse(self, use)

    return refuse


_USES = {
    "its truth": ["bool"],
    "a comparison with it": ["eq", "ne", "lt", "le", "gt", "ge"],
    "its hash": ["hash"],
    "it as text": ["str", "format", "bytes", "fspath"],
    "a call of it": ["call"],
    "its items": ["iter", "next", "reversed", "len", "length_hint", "contains", "getitem", "setitem", "delitem"],
    "its attributes": ["setattr", "delattr", "dir"],
    "a copy of it": ["copy", "deepcopy", "reduce_ex"],
    "it as a number": ["int", "float", "complex", "index", "round", "trunc", "floor", "ceil", "neg", "pos", "abs"],
    "it in a calculation": [
        side + operator
        for operator in ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow")
        for side in ("", "r", "i")
        if (side, operator) != ("i", "divmod")
    ]
    + [side + operator for operator in ("lshift", "rshift", "and", "or", "xor") for side in ("", "r", "i")]
    + ["invert"],
    "it in a with statement": ["enter", "exit", "aenter", "aexit"],
    "it in await": ["await", "aiter", "anext"],
    "it as an array": ["array"],
}
for _use, _names in _USES.items():
    for _name in _names:
        setattr(ContainerValue, f"__{_name}__", _refusal(_use))
