"""A failed call as data, for ``on_error="value"``. A module of its own, because suites without GPU tests import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """What a test gets in place of a result when the call failed and ``on_error="value"`` is set.

    It is false, so that ``[row for row in rows if row]`` leaves it out. A result can be false too:
    ``isinstance(result, pytest_modal.Failure)`` is exact.

    Attributes
    ----------
    call : str
        The call, such as "score[3]".
    status : str
        "raised", "not data", "timed out", "crashed", or "dependency failed".
    type : str
        The exception's type, such as "ValueError"; empty when the call ended without one.
    message : str
        The exception's message, or how the call ended.
    output : str
        The last that it wrote to its standard output and standard error.
    traceback : str
        The remote traceback; empty without one.
    """

    call: str
    status: str
    type: str
    message: str
    output: str = ""
    traceback: str = ""

    @property
    def error(self) -> str:
        """Type and message in one line."""
        return ": ".join(part for part in (self.type, self.message) if part)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        first = self.error.partition("\n")[0]
        return f"<Failure of {self.call}: {first if len(first) <= 100 else f'{first[:97]}...'}>"
