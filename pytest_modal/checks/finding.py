"""Findings: one mistake at one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

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
        Where the code of the finding ends, the column exclusive.
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
