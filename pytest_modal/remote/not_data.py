"""Values that are not data, and the usual way out."""

from __future__ import annotations

import sys
import types

# Types that look like data but come back as another type, or have no data form, and the usual way out.
WAYS_OUT = {
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
    "torch.dtype": "str({})",
    "torch.device": "str({})",
    "numpy.dtype": "str({})",
    "tuple": "tuple({})",
    "dict": "dict({})",
    "list": "list({})",
    "str": "str({})",
    "int": "int({})",
    "float": "float({})",
    "bytes": "bytes({})",
}


ANYTHING = "return numbers, strings, lists, dicts or arrays made from it"


class RefusedError(Exception):
    """Carries the path upwards, so that only a refusal pays for it.

    Attributes
    ----------
    way_out, way_in : str
        What to do where the value is a result, and where it is an argument.
    """

    def __init__(self, type_name: str, way_out: str, way_in: str = "") -> None:
        self.type_name, self.way_out = type_name, way_out
        self.way_in = way_in or way_out.replace("return ", "pass ", 1)
        self.segments: list[str] = []


def type_name(kind: type) -> str:
    """Return the name of a type as users know it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def way_out(value: object, kind: type) -> str:
    """Return the usual way out for a result that is not data; ``{}`` is replaced by its path."""
    if hasattr(value, "_asdict"):
        return "return {}._asdict()"
    if callable(getattr(value, "read", None)):
        return "read it and return its content"
    if callable(value):
        return "call it and return its result"
    if way := _converted(kind):
        return f"return {way}"
    return ANYTHING


def way_in(value: object, kind: type) -> str:
    """Return the usual way to pass an argument that is not data; ``{}`` is replaced by its path."""
    name = str(value).rpartition(".")[2] if kind is _named("torch", "dtype") else getattr(value, "__name__", "")
    if library := _library_with(value, name):
        return f'pass its name, "{name}", and write getattr({library}, name) in the function'
    if kind is _named("torch", "device"):
        return "pass str({}) and write torch.device(name) in the function"
    if isinstance(value, _named("torch", "Tensor")):
        return "pass {}.numpy() and write torch.from_numpy(...) in the function"
    if isinstance(value, _named("torch.nn", "Module")):
        return f"build the {kind.__name__} in the function, or in a container fixture that the function takes"
    owner = getattr(value, "__self__", None)
    if callable(value) and owner is not None and not isinstance(owner, types.ModuleType):
        return f"pass what it is a method of, and write .{name}() in the function"
    if callable(value) and name.isidentifier() and not hasattr(value, "read"):
        chosen = f'{{"{name}": {name}}}[name]'
        return f'pass its name, "{name}", and choose in the function, with which {name} travels: {chosen}'
    way = way_out(value, kind)
    if callable(value) or way == ANYTHING:
        return "pass numbers, strings, lists, dicts or arrays, and make it from them in the function"
    return way.replace("return ", "pass ", 1)


def _converted(kind: type) -> str:
    for base in kind.__mro__:
        way = WAYS_OUT.get(f"{base.__module__}.{base.__qualname__}") or WAYS_OUT.get(base.__qualname__)
        # A tuple is refused as it is only where it is a key: for what is in it.
        if way and kind is not tuple:
            return way
    return ""


def _library_with(value: object, name: str) -> str:
    """Return the library in which a value has that name: dtypes and functions of torch, types of numpy."""
    libraries = ("torch", "torch.nn.functional", "torch.nn", "numpy")
    return next((library for library in libraries if name and _named(library, name) is value), "")


def _named(library: str, name: str) -> type:
    """Return what has that name in a library; where the library is not imported, a type that no value is of."""
    found: type = getattr(sys.modules.get(library), name, _Nothing)
    return found


class _Nothing:
    pass
