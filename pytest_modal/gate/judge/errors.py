"""Errors and warnings of a gate. Standard library only: the public names must cost a plain suite nothing."""

from __future__ import annotations


class AccuracyRegression(AssertionError):  # noqa: N818 - a failed assertion, not an error of the program
    """The accuracy fell, by the exact test or below what the test demands."""


class BaselineError(ValueError):
    """A baseline can't be compared with: it is damaged, or its items are not those of this run."""


class AccuracyWarning(UserWarning):
    """A gate does not fail, but can't be relied on as it is."""
