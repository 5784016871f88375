"""The text of a recording: JSON made to be read and reviewed, and a digest that no formatting changes."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from pytest_modal.store.recordings.errors import Damage

WIDTH = 100
_DEEP = 5000  # frames: the deepest data takes a third of it
# Characters that a reviewer would not see, or that would mislead a terminal or an editor.
_INVISIBLE = re.compile(
    "[\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)
_flat = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def render(document: object) -> str:
    """Return JSON with what fits on a line on one line, LF line ends and no invisible characters."""
    return _INVISIBLE.sub(_escape, _render(document, 0)) + "\n"


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def _render(node: object, indent: int) -> str:
    if not isinstance(node, list | dict) or not node or indent > WIDTH // 2:
        return _flat(node)
    if len(node) <= WIDTH // 2:  # more can't fit
        flat = _flat(node)
        if len(flat) + indent <= WIDTH:
            return flat
    inner = " " * (indent + 2)
    if isinstance(node, dict):
        lines = [f"{inner}{_flat(key)}: {_render(value, indent + 2)}" for key, value in node.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    if all(type(item) in (int, float) for item in node):
        return "[\n" + _filled(node, inner) + "\n" + " " * indent + "]"
    return "[\n" + ",\n".join(inner + _render(item, indent + 2) for item in node) + "\n" + " " * indent + "]"


def _filled(numbers: list[int | float], inner: str) -> str:
    lines, line = [], inner
    for number in map(repr, numbers):  # JSON has the same form; NaN and infinities are not written as numbers
        if len(line) + len(number) > WIDTH and line != inner:
            lines.append(line.rstrip())
            line = inner
        line += f"{number}, "
    return "\n".join([*lines, line.rstrip(" ,")])


@contextlib.contextmanager
def deep_stack() -> Iterator[None]:
    """Raise the recursion limit for the deepest data; deeper forgeries are refused before the stack ends."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _DEEP))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def parse(text: str) -> object:
    """Read JSON as it is written here: no names twice, no NaN.

    Raises
    ------
    json.JSONDecodeError, RecursionError
        It is not JSON, or nested too deeply.
    Damage
        It is JSON that is never written here.
    """
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)


def _object(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = collections.Counter(name for name, _ in pairs).most_common(1)[0]
        raise Damage(f"the name {twice!r} occurs twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise Damage(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text) > 640:  # whatever limit this Python has; longer ones are written in hexadecimal
        raise Damage(f"a number of {len(text):,} digits is too long")
    return int(text)


def seal(document: dict[str, Any]) -> str:
    """Return the digest of a document without its own ``digest``: formatting and line ends don't count."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(rest, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
