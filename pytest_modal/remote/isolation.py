"""Isolation of the local worker process: it has what a container would have, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pytest_modal.remote.framing import Limits
from pytest_modal.remote.hidden import HiddenPackages
from pytest_modal.remote.project_files import ProjectFiles


class Isolation:
    """Takes from this process what a container would not have.

    Parameters
    ----------
    limits : Limits
        What that is.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._variables = frozenset(limits["variables"])
        self._packages: HiddenPackages | None = None
        if limits["distributions"] is not None:
            self._packages = HiddenPackages(limits["modules"], limits["distributions"])

    def begin(self) -> None:
        """Begin; nothing ends it."""
        if self._packages is not None:
            self._packages.hide()
        if self._limits["closed"]:
            ProjectFiles(self._limits["closed"], self._limits["apart"]).refuse()

    def notes(self, error: BaseException) -> Iterator[str]:
        """Yield what to do about an exception that is about something that only this machine has."""
        if self._packages is not None and (name := self._packages.missed_by(error)) is not None:
            yield (
                f"{name} is installed on this machine, but the image of this function would not have it: import it in "
                "the function, or above it, so that it is derived, or name it in packages=[...]"
            )
        if (name := _missing_variable(error)) in self._variables:
            yield (
                f"{name} is set on this machine, but a container does not have it: set env= or secrets=, or for local "
                "runs the ini modal_local_env"
            )


def _missing_variable(error: BaseException) -> str | None:
    """Return the environment variable that an exception says is not set."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if not isinstance(error, KeyError) or trace is None or len(error.args) != 1:
        return None
    raised_by_environ = trace.tb_frame.f_code is type(os.environ).__getitem__.__code__
    return error.args[0] if raised_by_environ and isinstance(error.args[0], str) else None
