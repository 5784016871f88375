"""What a gate raises. Standard library only: the public names must cost a plain suite nothing."""

from __future__ import annotations

from collections.abc import Iterable


class AccuracyRegression(AssertionError):  # noqa: N818 - a failed assertion, not an error of the program
    """The accuracy fell, by the exact test or below what the test demands."""


class BaselineError(ValueError):
    """A baseline can't be compared with: it is damaged, or its items are not those of this run."""


class AccuracyWarning(UserWarning):
    """A gate that fails nothing, but can't be relied on as it is."""


def three_parts(what: str, where: object, remedy: str) -> str:
    """Return a message that says what happened, where, and what to do."""
    return f"{what}\n  where: {where}\n  what to do: {remedy}"


def some(ids: Iterable[object], most: int = 5) -> str:
    """Return the first few of many ids, and how many more there are."""
    names = list(ids)
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def check_reason(reason: str | None, *, updating: bool) -> str | None:
    """Check the reason for accepting a regression.

    Raises
    ------
    ValueError
        It says nothing, or no baseline is being recorded.
    """
    if reason is None:
        return None
    where = "--modal-accept-regression"
    if not updating:
        what = "a regression is accepted by recording it, but no baseline is being recorded"
        raise ValueError(three_parts(what, where, "add --modal-update-baselines"))
    stated = " ".join(reason.split())
    if not any(map(str.isalnum, stated)):
        remedy = 'say why, for whoever reads the history: --modal-accept-regression="4-bit weights, half the memory"'
        raise ValueError(three_parts("a regression is accepted without a reason", where, remedy))
    return stated
