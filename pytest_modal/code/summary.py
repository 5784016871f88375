"""Summary of a reach: all that a function needs, and how each thing travels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pytest_modal.batch.calls import Part
from pytest_modal.code.constants import Reference
from pytest_modal.code.local_files import path_read
from pytest_modal.code.needed import Needed, Travelling
from pytest_modal.code.pickling import NESTED
from pytest_modal.code.reach import Reach
from pytest_modal.code.unchanged import is_replaced


def summary_of(reach: Reach) -> tuple[Part, ...]:
    """Return the parts of a reach: statements in the order of their files, then values, then packages."""
    return (*_statements(reach), *_values(reach), *_packages(reach))


def _statements(reach: Reach) -> Iterator[Part]:
    for key, needed in reach.statements():
        how: Literal["setting", "source"] = "setting" if needed.is_setting else "source"
        if needed.unit not in reach.looked_at:
            reads = path_read(reach.modules, key, needed.unit)
            reach.looked_at[needed.unit] = reads, is_replaced(reach.modules, key, needed.unit)
        reads, replaced = reach.looked_at[needed.unit]
        replaced = replaced and not reach.is_changed_there(key, needed.unit)
        name = _name(reach.modules.name(key), key, needed)
        yield Part(how, name, key, needed.unit.line, weak=needed.weak, reads=reads, replaced=replaced)


def _name(module: str, key: str, needed: Needed) -> str:
    unit = needed.unit
    if unit.place[2] == NESTED:
        return f"{module}.{getattr(unit.node, 'name', '<lambda>')}"
    return f"{module}.{', '.join(sorted(unit.binds))}" if unit.binds else f"{key}:{unit.line}"


def _values(reach: Reach) -> Iterator[Part]:
    for (key, name), value in reach.values.items():
        units = reach.modules.units(key).by_name.get(name, [])
        line = units[0].line if units else 0
        full = f"{reach.modules.name(key)}.{name}"
        if isinstance(value.how, Reference):
            yield Part("reference", full, key, line)
        else:
            how: Literal["pickle", "value"] = "pickle" if value.pickled is not None else "value"
            yield Part(how, full, key, line, _size(value), decided_here=value.how.decided_here)


def _size(value: Travelling) -> int:
    if value.pickled is not None:
        return len(value.pickled)
    assert not isinstance(value.how, Reference)
    return value.how.encoded.size


def _packages(reach: Reach) -> Iterator[Part]:
    for name, (key, line) in sorted(reach.required.items()):
        yield Part("package", name, key, line)
    for name, (key, line) in sorted(reach.optional.items()):
        if name not in reach.required:
            yield Part("left out", name, key, line)
