"""Marks as pytest keeps them on functions and classes, before there are tests."""

from __future__ import annotations

from typing import Any

import pytest


def marks_of(obj: Any) -> list[pytest.Mark]:
    """Return the marks on a function or class."""
    marks: Any = getattr(obj, "pytestmark", ())
    if not marks:
        return []
    each = marks if isinstance(marks, list) else [marks]
    return [mark.mark if isinstance(mark, pytest.MarkDecorator) else mark for mark in each]


def argnames_of(mark: pytest.Mark) -> list[str]:
    """Return the names that a mark ``parametrize`` gives values to."""
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else list(names)
