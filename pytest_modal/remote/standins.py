"""Stand-ins for pytest in a container: `skip`, `fail` and `xfail`, for functions that were written with them.

A statement that imports `pytest` imports this module in its place: pytest is not in the image.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from pytest_modal.remote.placeholder import Placeholder

NAMES = ("skip", "fail", "xfail")


class OutcomeException(BaseException):
    """The outcome of the tests that need the call."""

    # As in pytest: reports name the exceptions by this.
    __module__ = "builtins"


class Skipped(OutcomeException):
    """The tests are skipped."""

    __module__ = "builtins"


class Failed(OutcomeException):
    """The tests fail."""

    __module__ = "builtins"


class XFailed(Failed):
    """The tests fail as expected."""

    __module__ = "builtins"


def skip(reason: str = "", **_: Any) -> NoReturn:
    """Skip the tests that need the call."""
    raise Skipped(reason)


def fail(reason: str = "", **_: Any) -> NoReturn:
    """Fail the tests that need the call."""
    raise Failed(reason)


def xfail(reason: str = "") -> NoReturn:
    """Let the tests that need the call fail as expected."""
    raise XFailed(reason)


def __getattr__(name: str) -> Placeholder:
    """Answer for what annotations name, such as ``pytest.FixtureRequest``; all other uses are refused at planning."""
    if name.startswith("__"):
        raise AttributeError(name)
    return Placeholder(f"pytest.{name}")


for _name, _exception in (("skip", Skipped), ("fail", Failed), ("xfail", XFailed)):
    vars(sys.modules[__name__])[_name].Exception = _exception
