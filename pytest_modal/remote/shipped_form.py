"""The form in which a function travels: its statements, its values, and how it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_modal.remote.statements import Part

# What a pickle refers to: something of a slice, the names of one, code written in one, something of a package.
THERE, NAMES, CODE, OF_PACKAGE = "there", "names", "code", "of package"
WEAK, SETTING = 1, 2  # flags of statements


class Statement(NamedTuple):
    """A statement that a function needs.

    Attributes
    ----------
    block : list of int
        The first and the last line of what is read to have it: others may share its lines.
    flags : int
        `WEAK`: only annotations name it, so what it binds is a placeholder where it can't run. `SETTING`: it changes
        the state of the process.
    drop : list of int
        Lines of decorators that stay on the user's machine.
    after : list of str
        Keys of the slices that it imports.
    binds : list of str
        The names that a weak one binds.
    """

    line: int
    column: int
    block: list[int]
    part: Part
    flags: int
    drop: list[int]
    after: list[str]
    binds: list[str]


class Bound(NamedTuple):
    """A name that is bound to a value, where its statement stands.

    Attributes
    ----------
    kind : str
        "data", "pickle", or "reference" to another slice: its key, and a qualified name.
    """

    line: int
    column: int
    name: str
    kind: str
    what: Any


@dataclass(eq=False)
class Entry:
    """What one function needs."""

    root: list[Any]
    eager: list[str]
    statements: dict[str, list[Statement]]
    values: dict[str, list[Bound]]

    @property
    def keys(self) -> list[str]:
        """The slices that it needs something of, in the order in which they are filled."""
        return list(self.statements)


def read_entry(found: dict[str, Any]) -> Entry:
    """Read what was sent of a function."""
    statements = {key: [Statement(*each) for each in slice_["statements"]] for key, slice_ in found["slices"].items()}
    values = {key: [Bound(*each) for each in slice_["values"]] for key, slice_ in found["slices"].items()}
    return Entry(found["root"], found["eager"], statements, values)


def settings_of(entry: Entry) -> list[str]:
    """Return the names of the settings that a function's statements make."""
    return [
        setting_name(key, each) for key, every in entry.statements.items() for each in every if each.flags & SETTING
    ]


def setting_name(key: str, statement: Statement) -> str:
    """Return how a statement is named that changes the state of the process."""
    return f"{key}:{statement.line}:{statement.column}"
