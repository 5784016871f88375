"""Placeholders for what only annotations name, and a container does not have."""

from __future__ import annotations

from typing import Any


class Placeholder:
    """Stands for something in annotations: ``X | None``, ``list[X]``, ``X.Y`` and subclassing go on working."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Placeholder:
        if name.startswith("__"):
            raise AttributeError(name)
        return Placeholder(f"{self._name}.{name}")

    def __call__(self, *arguments: object, **named: object) -> Placeholder:
        return self

    def __getitem__(self, item: object) -> Placeholder:
        return self

    def __or__(self, other: object) -> Placeholder:
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases: object) -> tuple[Any, ...]:
        return ()

    def __repr__(self) -> str:
        return f"<{self._name}, which is not installed here>"
