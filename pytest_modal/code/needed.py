"""Parts of a reach: the statements that a function needs, and the values that travel in the place of others."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_modal.code.constants import Reference, Value
from pytest_modal.code.units import Unit


@dataclass
class Needed:
    """A unit that a function needs.

    Attributes
    ----------
    weak : bool
        Whether only annotations name it: it is left out where it can't run.
    is_setting : bool
        Whether it changes the state of the process, which each call begins with.
    """

    unit: Unit
    weak: bool
    is_setting: bool = False


@dataclass
class Travelling:
    """The value of a name that does not travel as its statement.

    Attributes
    ----------
    how : Reference or Value
        What it is.
    pickled : bytes or None
        A value that is no data.
    """

    how: Reference | Value
    pickled: bytes | None = None
