"""Levels of the rules: error, warning, off."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_modal.checks.finding import Level
from pytest_modal.checks.rules import RULES
from pytest_modal.wording import three_parts


class LevelError(ValueError):
    """A line of ``modal_rules`` is not valid; the message has three parts."""


def read_levels(lines: Iterable[str], *, where: str = "the ini modal_rules") -> dict[str, Level]:
    """Return the level of each rule, as the ini ``modal_rules`` sets it.

    Parameters
    ----------
    where : str
        Where the lines were read, for the message.

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
            remedy = f"write RULE = LEVEL: a rule is one of {', '.join(RULES)}, a level is error, warning or off"
            raise LevelError(three_parts(f"modal_rules = {line.strip()!r} is not valid", where, remedy))
        levels[code] = level  # type: ignore[assignment]
    return levels
