"""Values that are not data, and the usual way out."""

from __future__ import annotations

# Types that look like data but come back as another type, or have no data form, and the usual way out.
_WAYS_OUT = {
    "builtins.set": "sorted({})",
    "builtins.frozenset": "sorted({})",
    "builtins.range": "list({})",
    "builtins.map": "list({})",
    "builtins.zip": "list({})",
    "builtins.filter": "list({})",
    "builtins.generator": "list({})",
    "builtins.dict_keys": "list({})",
    "builtins.dict_values": "list({})",
    "builtins.dict_items": "list({})",
    "builtins.bytearray": "bytes({})",
    "builtins.memoryview": "bytes({})",
    "collections.OrderedDict": "dict({})",
    "collections.defaultdict": "dict({})",
    "collections.Counter": "dict({})",
    "collections.deque": "list({})",
    "decimal.Decimal": "float({}) or str({})",
    "fractions.Fraction": "float({})",
    "datetime.datetime": "{}.isoformat()",
    "datetime.date": "{}.isoformat()",
    "datetime.timedelta": "{}.total_seconds()",
    "uuid.UUID": "str({})",
    "DataFrame": '{}.to_dict("records")',
    "Series": "{}.to_numpy()",
    "Index": "{}.to_numpy()",
    "MaskedArray": "{}.filled(numpy.nan)",
    "recarray": "numpy.array({}, dtype={}.dtype.descr)",
    "matrix": "numpy.asarray({})",
    "BatchEncoding": "dict({})",
    "PurePath": "str({})",
    "Enum": "{}.value",
    "dict": "dict({})",
    "list": "list({})",
    "str": "str({})",
    "int": "int({})",
    "float": "float({})",
    "bytes": "bytes({})",
}


class RefusedError(Exception):
    """Carries the path upwards, so that only a refusal pays for it."""

    def __init__(self, type_name: str, way_out: str) -> None:
        self.type_name, self.way_out = type_name, way_out
        self.segments: list[str] = []


def type_name(kind: type) -> str:
    """Return the name of a type as users know it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def way_out(value: object, kind: type) -> str:
    """Return the usual way out for a value that is not data; ``{}`` is replaced by its path."""
    if hasattr(value, "_asdict"):
        return "return {}._asdict()"
    if callable(getattr(value, "read", None)):
        return "read it and return its content"
    if callable(value):
        return "call it and return its result"
    for base in kind.__mro__:
        way = _WAYS_OUT.get(f"{base.__module__}.{base.__qualname__}") or _WAYS_OUT.get(base.__qualname__)
        if way:
            return f"return {way}"
    return "return numbers, strings, lists, dicts or arrays made from it"
