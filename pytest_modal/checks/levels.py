"""Levels of the rules: error, warning, off."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modal.checks.finding import Level
from pytest_modal.checks.rules import RULES
from pytest_modal.wording import three_parts


class LevelError(ValueError):
    """A line of ``modal_rules`` makes no sense; the message has three parts."""


def read_levels(lines: Iterable[str]) -> dict[str, Level]:
    """Return the level of each rule, as the ini ``modal_rules`` decides.

    Raises
    ------
    LevelError
        An unknown rule or level.
    """
    levels: dict[str, Level] = {code: rule.level for code, rule in RULES.items()}
    for line in lines:
        code, _, level = (part.strip() for part in line.partition("="))
        code, level = code.upper(), level.lower()
        if code not in RULES or level not in ("error", "warning", "off"):
            remedy = f"write a rule ({', '.join(RULES)}) = error, warning or off"
            raise LevelError(three_parts(f"modal_rules: {line.strip()!r}", "the ini file", remedy))
        levels[code] = level  # type: ignore[assignment]
    return levels
