"""Parameters of calls: which parametrized values a call depends on, and what pytest calls them in the ids of tests."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.remote_function import RemoteFunction, parameters_of, remote_of
from pytest_modal.plan.marks import argnames_of
from pytest_modal.plan.remote_fixtures import definition_at
from pytest_modal.remote import data
from pytest_modal.store.files import short_digest

LONGEST = 40  # characters of one parameter in a label
_PLAIN = re.compile(r"[A-Za-z_][\w.+/ ]*")


@dataclass(frozen=True)
class Shown:
    """One parameter as people read it.

    Attributes
    ----------
    text : str
        Its part of the test's id.
    apart : str
        A digest of the value, where another value could have the same text; the text says it all otherwise.
    """

    text: str
    apart: str = ""


def parameters_behind(
    item: pytest.Function, names: Iterable[str], path: tuple[str, ...], body: Callable[[RemoteFunction], object]
) -> set[str]:
    """Return the names of the parametrized values that fixtures depend on, through whatever fixtures.

    Parameters
    ----------
    names : iterable of str
        The fixtures and parameters.
    path : tuple of str
        The names that lead to who requests them.
    body : callable
        Returns the function that runs for a remote fixture.
    """
    found: set[str] = set()
    if compat.params_of(item):
        _collect(item, names, path, body, found, set())
    return found


def _collect(
    item: pytest.Function,
    names: Iterable[str],
    path: tuple[str, ...],
    body: Callable[[RemoteFunction], object],
    found: set[str],
    seen: set[compat.FixtureDef],
) -> None:
    for name in names:
        there = (*path, name)
        definition = definition_at(item, there)
        if definition is None or definition in seen:
            continue
        seen.add(definition)
        if compat.param_of(item, name) is not compat.NOTHING:
            found.add(name)
        if compat.is_parametrized(definition):
            continue
        remote = remote_of(definition.func)
        needed = definition.argnames if remote is None else required(body(remote))
        _collect(item, needed, there, body, found, seen)


def required(function: object) -> list[str]:
    """Return the parameters of a function that have no default."""
    assert callable(function)
    return [name for name, has_default in parameters_of(function).items() if not has_default]


def shown(item: pytest.Function, names: set[str], given: Sequence[object] = ()) -> list[Shown]:
    """Return how parametrized values are shown, in the order of the test's id, and then other values.

    Where a parametrization gives several names at once and only some of them count, each of these is called as pytest
    would call its value alone.
    """
    found = _parametrized(item, names) if names else []
    found += [(text if (text := _text(value)) and len(text) <= LONGEST else "", [value]) for value in given]
    alone = sum(len(values) for _, values in found) == 1
    return [_shown(text, values, alone=alone) for text, values in found]


def _parametrized(item: pytest.Function, names: set[str]) -> list[tuple[str, list[object]]]:
    groups = list(_groups(item))
    ids = list(compat.ids_of(item))
    found: list[tuple[str, list[object]]] = []
    for position, group in enumerate(groups):
        used = [name for name in group if name in names]
        if used and len(used) == len(group) and len(ids) == len(groups):
            found.append((ids[position], [compat.param_of(item, name) for name in used]))
        else:
            of_all = ids[position] if len(ids) == len(groups) else None
            for name in used:
                value = compat.param_of(item, name)
                found.append((_text(value) or of_all or f"{name}-{_digest(value)}", [value]))
    return found


def _groups(item: pytest.Function) -> Iterator[tuple[str, ...]]:
    """Yield the names that one parametrization gives at once, for each of them."""
    # Parametrizations of hooks are not kept: each of their names counts as one, and is then told by its value.
    several = [names for mark in item.iter_markers("parametrize") if len(names := argnames_of(mark)) > 1]
    names = list(compat.params_of(item))
    while names:
        group = next((each for each in several if each == names[: len(each)]), names[:1])
        yield tuple(group)
        del names[: len(group)]


def _text(value: object) -> str | None:
    """Return what pytest calls a value, where that depends on nothing else."""
    if value is None or isinstance(value, str | bool | int | float | complex | enum.Enum):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else None


def _shown(text: str, values: Sequence[object], *, alone: bool) -> Shown:
    says_all = text == "-".join(map(str, values)) and all(_is_plain(value, alone=alone) for value in values)
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 12]}...{short_digest(text)}"
    return Shown(short, "" if says_all else "".join(map(_digest, values)))


def _is_plain(value: object, *, alone: bool) -> bool:
    """Whether no other value has the same text."""
    if value is None or type(value) in (bool, int, float):
        return True
    # "1" is the text of a number too, and beside others "a-b" is that of two values.
    alike = ("None", "True", "False", "nan", "inf")
    text = value.replace("-", "_") if alone and type(value) is str else value
    return type(text) is str and text not in alike and _PLAIN.fullmatch(text) is not None


def _digest(value: object) -> str:
    try:
        return data.digest(data.encode(value, "a parameter"))[:8]
    except data.NotDataError:
        return short_digest(type(value).__qualname__)


def value_text(value: object) -> str:
    """Return a value as the labels in recordings and baselines show it."""
    if value is None or isinstance(value, str | int | float):
        return str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
    return type(value).__name__
