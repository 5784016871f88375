"""Rules: a check with its texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_modal.checks.finding import Finding, Level

if TYPE_CHECKING:
    from pytest_modal.checks.script.script import GpuFunction, Script

Check = Callable[["Script", "list[GpuFunction]"], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One anti-pattern.

    Attributes
    ----------
    level : str
        "error" or "warning", unless the ini ``modal_rules`` sets another.
    title : str
        What it finds, as a heading.
    why, instead : str
        Paragraphs: what goes wrong and what it costs; what to write.
    bad, good : str
        Python code that the rule finds, and the same thing done right.
    check : callable
        Takes a script and some of its GPU functions; yields the findings about them.
    about_script : bool
        Whether it is about what the script does by itself, not about the functions that are sent.
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
