"""Stand-ins for pytest in a container: `skip`, `fail` and `xfail`, for functions that were written with them.

A function that names the module `pytest` gets this module in its place: pytest is not in the image.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

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


def load(name: str = "") -> Any:
    """Return this module, or what has that name in it: functions are pickled with this in the place of pytest."""
    module = sys.modules[__name__]
    return getattr(module, name) if name else module


for _name, _exception in (("skip", Skipped), ("fail", Failed), ("xfail", XFailed)):
    vars(sys.modules[__name__])[_name].Exception = _exception
