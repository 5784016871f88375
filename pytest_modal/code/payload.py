"""Payloads: what travels of a function, as `pytest_modal.remote.slices` reads it.

The text of a module travels once for all functions of a batch; of each function the list of its statements.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Iterator
from typing import Any

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.bindings import Modules, is_package, is_package_without_file
from pytest_modal.code.constants import Reference
from pytest_modal.code.needed import Needed, Travelling
from pytest_modal.code.pickling import NESTED
from pytest_modal.code.reach import Reach
from pytest_modal.code.units import Unit
from pytest_modal.remote import data
from pytest_modal.remote.shipped_form import SETTING, WEAK
from pytest_modal.remote.statements import begin

_CONFTEST = "conftest.py"


class ModuleText:
    """The text of a module that travels: the lines that the functions of a batch need, all others blank."""

    def __init__(self, name: str, key: str, flags: int, lines: list[str]) -> None:
        self.path = key
        self._header = {"key": key, "name": name, "package": is_package(key), "flags": flags}
        self._lines = lines
        self._needed: set[int] = set()
        self._packed: tuple[int, bytes, str] = (-1, b"", "")

    def need(self, first: int, last: int) -> None:
        """Add lines."""
        self._needed.update(range(first, last + 1))

    def line(self, number: int) -> str:
        """Return a line that travels; empty for one that does not."""
        return self._lines[number - 1] if number in self._needed else ""

    @property
    def payload(self) -> bytes:
        """What travels."""
        return self._pack()[1]

    @property
    def key(self) -> str:
        """Digest of what travels: another batch may need other lines."""
        return self._pack()[2]

    def _pack(self) -> tuple[int, bytes, str]:
        if self._packed[0] != len(self._needed):
            last = max(self._needed, default=0)
            source = "".join(self._lines[n - 1] if n in self._needed else "\n" for n in range(1, last + 1))
            payload = _packed(self._header | {"source": source})
            self._packed = len(self._needed), payload, digest_of(payload.hex())
        return self._packed


class Packer:
    """Makes payloads, and the texts that they share.

    Parameters
    ----------
    modules : Modules
        The local modules.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._texts: dict[str, ModuleText] = {}
        self._shared: dict[str, list[list[int]]] = {}

    def pack(self, reach: Reach, root: list[Any]) -> tuple[bytes, tuple[ModuleText, ...]]:
        """Return the payload of a function, and the texts of the modules that it needs.

        Parameters
        ----------
        root : list
            How the function is found: ``["name", key, qualname]`` or ``["pickle", bytes]``.
        """
        place = {key: number for number, key in enumerate(self._modules.keys)}

        def order(key: str) -> tuple[int, int, int]:
            """Order modules as pytest fills them: conftests from the top down, the function's, then the others."""
            if key.rpartition("/")[2] == _CONFTEST:
                return 0, key.count("/"), place[key]
            return (1 if key == reach.root else 2), 0, place[key]

        keys = sorted((key for key in reach.units if not is_package_without_file(key)), key=order)
        slices: dict[str, Any] = {
            key: {
                "statements": [
                    self._statement(key, each, keys) for each in reach.in_order(key) if each.unit.place[2] != NESTED
                ],
                "values": [],
            }
            for key in keys
        }
        for (key, name), value in reach.values.items():
            slices[key]["values"].append(self._value(key, name, value))
        texts = tuple(self._text(key, reach) for key in keys)
        entry = {"root": root, "eager": [key for key in keys if key in reach.eager], "slices": slices}
        return _packed(entry), texts

    def _text(self, key: str, reach: Reach) -> ModuleText:
        if key not in self._texts:
            syntax = self._modules.syntax(key)
            flags = self._modules.units(key).flags
            self._texts[key] = ModuleText(self._modules.name(key), key, flags, syntax.lines)
        text = self._texts[key]
        for needed in reach.units[key].values():
            text.need(*self._block(key, needed.unit))
        return text

    def _statement(self, key: str, needed: Needed, keys: list[str]) -> list[Any]:
        unit = needed.unit
        line, column, part = unit.place
        after: list[str] = []
        for imported in unit.imports:
            if imported.at_import:
                after += self._modules.imported_by(key, imported)
        drop = self._modules.units(key).dropped.get(line, [])
        flags = (WEAK if needed.weak else 0) | (SETTING if needed.is_setting else 0)
        binds = sorted(unit.binds) if needed.weak else []
        after = [each for each in dict.fromkeys(after) if each in keys]
        return [line, column, self._block(key, unit), part, flags, drop, after, binds]

    def _block(self, key: str, unit: Unit) -> list[int]:
        """Return the lines of a statement, with all of those that share its lines."""
        if key not in self._shared:
            self._shared[key] = list(_shared_lines(self._modules.syntax(key).tree))
        around = next((each for each in self._shared[key] if each[0] <= unit.line <= each[1]), None)
        return around or [unit.line, unit.end]

    def _value(self, key: str, name: str, value: Travelling) -> list[Any]:
        units = self._modules.units(key).by_name.get(name)
        line, column = units[0].place[:2] if units else (0, 0)
        if isinstance(value.how, Reference):
            return [line, column, name, "reference", [value.how.key, value.how.qualname]]
        if value.pickled is not None:
            return [line, column, name, "pickle", value.pickled]
        return [line, column, name, "data", value.how.value]


def _shared_lines(tree: ast.Module) -> Iterator[list[int]]:
    """Yield the first and the last line of statements of which one begins where another ends."""
    block: list[int] = []
    for node in tree.body:
        first, last = begin(node), node.end_lineno or node.lineno
        if block and first <= block[1]:
            block[1], block[2] = max(block[1], last), block[2] + 1
        else:
            if block and block[2] > 1:
                yield block[:2]
            block = [first, last, 1]
    if block and block[2] > 1:
        yield block[:2]


def _packed(value: object) -> bytes:
    return zlib.compress(b"".join(data.encode(value)))
