"""Checks: what is assumed, how it is looked at, what was found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_modal.run.modal.doctor.visit import Visit

State = Literal["ok", "differs", "unknown", "skipped"]


@dataclass(frozen=True)
class Found:
    """What a check has found.

    Attributes
    ----------
    state : str
        "ok" (as assumed), "differs", "unknown" (it could not be found out), "skipped".
    says : str
        What was seen, in a sentence.
    remedy : str
        What to do, where it is not as assumed.
    measured : mapping
        Figures and texts, for the report.
    facts : mapping
        Values for `pytest_modal.declare.facts.Facts`.
    """

    state: State
    says: str
    remedy: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes
    ----------
    name : str
        One word, or two with a hyphen between.
    assumed : str
        What the product assumes.
    seconds : float
        How long it may take.
    look : callable
        Looks, and returns what it has found.
    """

    name: str
    assumed: str
    seconds: float
    look: Callable[[Visit], Awaitable[Found]]


@dataclass(frozen=True)
class Line:
    """A check with what it has found, and the seconds that it took."""

    check: Check
    found: Found
    seconds: float


def found(
    as_assumed: bool, says: str, remedy: str, measured: Mapping[str, Any], facts: Mapping[str, Any] | None = None
) -> Found:
    """Return what was found: the remedy counts where it is not as assumed."""
    return Found("ok" if as_assumed else "differs", says, "" if as_assumed else remedy, measured, facts or {})
