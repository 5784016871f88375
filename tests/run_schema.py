"""The JSON schema of a run's record and the tables of its fields, made from the types of `pytest_modal.report.record`.

    python tests/run_schema.py

writes ``docs/run.schema.json``, and the tables into ``docs/run-record.md``.
"""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pytest_modal.report import record

DOCS = Path(__file__).parent.parent / "docs"
SCHEMA, PAGE = DOCS / "run.schema.json", DOCS / "run-record.md"
BEGIN, END = "<!-- fields -->", "<!-- end of the fields -->"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*)(?: : .*)?$")


def schema() -> dict[str, Any]:
    """Return the schema."""
    entries = {each.__name__: _object(each) for each in _entries(record.Record) if each is not record.Record}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The record of a run of pytest with pytest-modal (run.json)",
        **_object(record.Record),
        "$defs": dict(sorted(entries.items())),
    }


def tables() -> str:
    """Return a table of fields for the record and for each kind of entry, in markdown."""
    parts = []
    for each in _entries(record.Record):
        title = "The record" if each is record.Record else f"`{each.__name__}`"
        summary = "" if each is record.Record else (inspect.getdoc(each) or "").partition("\n\n")[0]
        described = _described(each)
        rows = [
            f"| `{name}` | {_named(hint)} | {described.get(name, '').replace('|', '/')} |"
            for name, hint in typing.get_type_hints(each).items()
        ]
        parts += [
            f"### {title}",
            "",
            *([summary, ""] if summary else []),
            "| field | type | |",
            "|---|---|---|",
            *rows,
            "",
        ]
    return "\n".join(parts)


def _entries(top: Any) -> list[Any]:
    """Return the types of objects that a type is made of, in the order in which they are met."""
    found: dict[Any, None] = {}
    waiting = [top]
    while waiting:
        each = waiting.pop(0)
        if typing.is_typeddict(each):
            if each not in found:
                found[each] = None
                waiting += typing.get_type_hints(each).values()
        else:
            waiting += get_args(each) if get_origin(each) is not Literal else ()
    return [*found]


def _object(shape: Any) -> dict[str, Any]:
    hints, described = typing.get_type_hints(shape), _described(shape)
    properties = {}
    for name, hint in hints.items():
        properties[name] = _schema(hint) | ({"description": described[name]} if name in described else {})
    return {
        "description": " ".join((inspect.getdoc(shape) or "").partition("\n\n")[0].split()),
        "type": "object",
        "properties": properties,
        "required": [*hints],
        "additionalProperties": False,
    }


def _schema(hint: Any) -> dict[str, Any]:
    kind, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if typing.is_typeddict(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if kind in (Union, types.UnionType):
        return {"anyOf": [_schema(each) for each in parts]}
    if kind is Literal:
        return {"enum": [*parts]}
    if kind is list:
        return {"type": "array", "items": _schema(parts[0])}
    if kind is tuple:
        return {
            "type": "array",
            "prefixItems": [_schema(each) for each in parts],
            "minItems": len(parts),
            "items": False,
        }
    if kind is dict:
        return {"type": "object", "additionalProperties": _schema(parts[1])}
    return {"type": _PLAIN[hint]}


def _named(hint: Any) -> str:
    """Return a type as people read it."""
    kind, parts = get_origin(hint), get_args(hint)
    if typing.is_typeddict(hint):
        return f"`{hint.__name__}`"
    if kind in (Union, types.UnionType):
        return " or ".join(map(_named, parts))
    if kind is Literal:
        return "string"
    if kind is list:
        return f"list of {_named(parts[0])}"
    if kind is tuple:
        return f"[{', '.join(map(_named, parts))}]"
    if kind is dict:
        return "object" if parts[1] is Any else f"object of {_named(parts[1])}"
    return _PLAIN[hint]


def _described(shape: Any) -> dict[str, str]:
    """Return what the docstring of a type says of its fields."""
    found: dict[str, str] = {}
    _, _, attributes = (inspect.getdoc(shape) or "").partition("Attributes\n----------\n")
    names: list[str] = []
    for line in attributes.splitlines():
        if line and not line.startswith(" ") and (match := _ATTRIBUTE.fullmatch(line)):
            names = match[1].split(", ")
        else:
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def page(text: str) -> str:
    """Return the page with the tables in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def schema_text() -> str:
    """Return the file of the schema."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
