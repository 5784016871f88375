"""Changes of JSON that someone could make who knows how the files are read."""

from __future__ import annotations

import random
from typing import Any

SIZES = [0, -1, 1, 2, 15, 2**31, 2**32 - 1, 2**40, 2**61, 2**62, 2**63 - 1, 2**63, 10**30, -(2**63), True]
TEXTS = [
    "",
    "x",
    "\x00",
    "\ud800",
    "\u202e",
    "../../x",
    "inf",
    "nan",
    "-1",
    "0x",
    "0x7ff8000000000000",
    "AAAA",
    "é" * 9,
]
DTYPES = [
    "|V0", "|V1", "|S0", "<U0", "<U2147483647", "|V2147483647", "|O", "O", "<f8", ">f2", "<f16", "|b1", "<M8[ns]",
    "<M8[0s]", "<m8[99999999999s]", "<c32", [], ["<f8", [2]], ["<f8", [-1]], ["|V0", [2**31]], ["<f8", [2**40]],
]  # fmt: skip
SHAPES: list[Any] = [[], [0], [-1], [2**61], [2**62, 0], [0, 2**63], [2**40, 2**40], [1] * 65, [-1, -1], [[1]]]
TAGS = [
    "$int", "$float", "$complex", "$bytes", "$tuple", "$dict", "$rows", "$floats", "$ints", "$array", "$scalar",
    "$scalars", "$str_", "$bytes_", "$encoded", "$text", "$numpy_str", "$numpy_bytes", "$", "$none",
]  # fmt: skip
NAMES = ["names", "formats", "titles", "offsets", "itemsize", "aligned", "dtype", "shape", "order", "values", "member"]
OTHERS: list[Any] = [None, 1.5, 1e308, [], {}, [[]], [[[]]], "C", "F", "A"]
ATOMS: list[Any] = [*SIZES, *TEXTS, *DTYPES, *SHAPES, *OTHERS]


def mutate(rng: random.Random, node: Any) -> Any:
    """Return JSON in which one thing is another, somewhere."""
    chosen = rng.random()
    if chosen < 0.08:
        return rng.choice(ATOMS)
    if chosen < 0.11:
        return {rng.choice(TAGS): node}
    if chosen < 0.14:
        return {rng.choice(TAGS): rng.choice(ATOMS)}
    if chosen < 0.145:
        return nested(rng, node)
    if isinstance(node, dict) and node:
        return _changed_dict(rng, dict(node))
    if isinstance(node, list) and node:
        return _changed_list(rng, list(node))
    if type(node) is int:
        return rng.choice([node + 1, node - 1, node * 2, -node, node << 32])
    if type(node) is str and node:
        at = rng.randrange(len(node))
        return node[:at] + rng.choice([*TEXTS, "9", "["]) + node[at + 1 :]
    return rng.choice(ATOMS)


def nested(rng: random.Random, node: Any) -> Any:
    """Return JSON that is nested deeply."""
    for _ in range(rng.choice([90, 110])):
        node = [node] if rng.random() < 0.5 else {rng.choice(["a", "$tuple"]): [node]}
    return node


def _changed_dict(rng: random.Random, node: dict[str, Any]) -> dict[str, Any]:
    key, chosen = rng.choice(list(node)), rng.random()
    if chosen < 0.1:
        del node[key]
    elif chosen < 0.2:
        node[rng.choice(TAGS + NAMES)] = node.pop(key)
    elif chosen < 0.25:
        node[rng.choice(NAMES + TEXTS)] = rng.choice(ATOMS)
    else:
        node[key] = mutate(rng, node[key])
    return node


def _changed_list(rng: random.Random, node: list[Any]) -> list[Any]:
    at, chosen = rng.randrange(len(node)), rng.random()
    if chosen < 0.1:
        del node[at]
    elif chosen < 0.2:
        node.insert(at, rng.choice(ATOMS))
    else:
        node[at] = mutate(rng, node[at])
    return node


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Return bytes of which a few are others, more or fewer."""
    found, at = bytearray(content), rng.randrange(len(content) + 1)
    chosen = rng.random()
    if chosen < 0.2:
        return bytes(found[:at])
    if chosen < 0.3:
        return bytes(found[:at] + rng.randbytes(rng.choice([1, 8, 16])) + found[at:])
    for _ in range(rng.choice([1, 1, 2, 8])):
        if found:
            found[rng.randrange(len(found))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(found)
