"""Keywords of an environment, checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pytest_modal.batch.environment import Environment
from pytest_modal.wording import safe_line, three_parts

_MOST_OF_VARIABLE = 128 << 10  # bytes, with its name: Linux starts no program with more
_SURROGATE = re.compile("[\ud800-\udfff]")
# A round is not declared: see Environment.
ENVIRONMENT = tuple(each.name for each in fields(Environment) if each.name != "round")


class DeclarationError(TypeError):
    """A remote fixture or a marker is declared in a way that can't work."""


def checked_settings(given: Mapping[str, Any], what: str, where: str, known: Sequence[str]) -> dict[str, Any]:
    """Check the keywords of an environment and bring their values into one form."""
    settings = {}
    for name, value in given.items():
        if name not in ENVIRONMENT:
            raise declaration_error(f"{what}: unknown keyword {name!r}", where, one_of(name, known))
        settings[name] = _checked(name, value, what, where)
    return settings


def _checked(name: str, value: Any, what: str, where: str) -> Any:
    try:
        return _CHECKS[name](value)
    except (_ExpectedError, TypeError) as wrong:
        expected = str(wrong) if isinstance(wrong, _ExpectedError) else "a list"
    raise declaration_error(
        f"{what}: {name}={safe_line(repr(value))} is not valid", where, f"set {name}= to {expected}"
    )


class _ExpectedError(Exception):
    """A value is another one than the message says."""


def _expect(is_right: bool, expected: str) -> None:
    if not is_right:
        raise _ExpectedError(expected)


def _names(value: Any) -> tuple[str, ...]:
    is_list = not isinstance(value, str) and all(isinstance(each, str) for each in value)
    _expect(is_list, 'a list of names, such as ["torch", "transformers"]')
    return tuple(value)


def _choice(value: Any) -> str | tuple[str, ...] | None:
    if value is None or isinstance(value, str):
        return value
    is_list = bool(value) and all(isinstance(each, str) for each in value)
    _expect(is_list, 'a name, such as "T4", or a list of names in order of preference')
    return tuple(value)


def _mapping(value: Any) -> tuple[tuple[str, Any], ...]:
    _expect(isinstance(value, Mapping) and all(isinstance(key, str) for key in value), "a dict whose keys are str")
    return tuple(sorted(value.items(), key=lambda pair: pair[0]))


def _variables(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = _mapping(value)
    _expect(all(isinstance(each, str) for _, each in pairs), "a dict of str to str")
    _expect(all(name and "=" not in name for name, _ in pairs), 'variables with a name, in which there is no "="')
    _expect(not any("\0" in name + each for name, each in pairs), "variables without null characters")
    sizes = [len(f"{name}={each}".encode("utf-8", "surrogatepass")) for name, each in pairs]
    _expect(all(size < _MOST_OF_VARIABLE for size in sizes), "variables of less than 128 KiB each; pass more as data")
    _expect(not any(_SURROGATE.search(name + each) for name, each in pairs), "variables without lone surrogates")
    return pairs


def _of_modal(value: Any) -> tuple[tuple[str, Any], ...]:
    pairs = _mapping(value)
    # What has a keyword here, and what it takes to run ours.
    taken = [name for name, _ in pairs if name in (*ENVIRONMENT, "include_source", "name", "serialized")]
    _expect(not taken, f"settings of Modal Functions that have no keyword here: not {', '.join(map(repr, taken))}")
    return pairs


def _secrets(value: Any) -> tuple[object, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _image(value: Any) -> Any:
    _expect(value is None or is_image(value), "a modal.Image, such as modal.Image.debian_slim()")
    return value


def _seed(value: Any) -> int | None:
    is_seed = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32
    _expect(value is None or is_seed, "a whole number from 0 to 4294967295")
    return value  # type: ignore[no-any-return]


def _number(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _expect(is_number and value > 0, "a positive number")
    return value


def _count(value: Any, least: int = 1) -> Any:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    _expect(is_count and value >= least, f"a whole number, {least} or more")
    return value


def _with_limit(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a check of a value, or of what a container gets and its limit."""

    def checked(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value if value is None else check(value)
        _expect(len(value) == 2, "one value, or two: what a container gets, and its limit")
        return tuple(map(check, value))

    return checked


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "gpu": _choice,
    "timeout": _number,
    "packages": lambda value: value if value is None else _names(value),
    # Requirements are taken as they are; of local packages only which ones they are counts.
    "local_packages": lambda value: tuple(sorted(set(_names(value)))),
    "image": _image,
    "volumes": _mapping,
    "secrets": _secrets,
    "env": _variables,
    "cpu": _with_limit(_number),
    "memory": _with_limit(_count),
    "region": _choice,
    "retries": lambda value: _count(value, least=0),
    "max_containers": _count,
    "seed": _seed,
    "modal": _of_modal,
}


def is_image(value: object) -> bool:
    """Whether a value is a ``modal.Image``; modal itself is not imported for it."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == "modal.image.Image" for kind in type(value).__mro__)


def one_of(name: object, known: Sequence[str]) -> str:
    """Return the remedy for a name that is not among the known ones."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


def declaration_error(what: str, where: str, remedy: str) -> DeclarationError:
    """Return an error in three parts."""
    return DeclarationError(three_parts(what, where, remedy))
