"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_modal.checks.script import GpuFunction, Script

Level = Literal["error", "warning", "off"]


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake at one place.

    Attributes
    ----------
    line, column : int
        Where it starts, both counted from 1; columns in characters.
    message : str
        What is wrong, and why that costs a run.
    hint : str
        What to write instead.
    end_line, end_column : int
        Where the code that is meant ends, the column exclusive.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    hint: str
    end_line: int = field(default=0, compare=False)
    end_column: int = field(default=0, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return the public form: code, path, line, column, message, hint."""
        return {name: getattr(self, name) for name in ("code", "path", "line", "column", "message", "hint")}


Check = Callable[["Script", "list[GpuFunction]"], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One anti-pattern.

    Attributes
    ----------
    level : str
        "error" or "warning", unless the ini ``modal_rules`` says otherwise.
    title : str
        What it finds, as a heading.
    why, instead : str
        Paragraphs: what goes wrong and what it costs; what to write.
    bad, good : str
        Python code that the rule finds, and the same thing done right.
    check : callable
        Takes a script and those of its GPU functions that are asked about; yields findings.
    about_script : bool
        Whether it speaks of what the script does by itself, not of the functions that are sent.
    """

    code: str
    level: Level
    title: str
    why: str
    instead: str
    bad: str
    good: str
    check: Check = field(repr=False)
    about_script: bool = False
