"""Keywords of an environment, checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pytest_modal.batch.environment import Environment
from pytest_modal.wording import three_parts

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
    def wrong(expected: str) -> DeclarationError:
        return declaration_error(f"{what}: {name}={value!r} is not valid", where, f"set {name}= to {expected}")

    if name in ("packages", "local_packages"):
        if value is None and name == "packages":
            return None
        if isinstance(value, str) or not all(isinstance(each, str) for each in value):
            raise wrong('a list of names, such as ["torch", "transformers"]')
        # Requirements are taken as they are; of local packages only which ones they are counts.
        return tuple(value) if name == "packages" else tuple(sorted(set(value)))
    if name in ("gpu", "region"):
        if value is None or isinstance(value, str):
            return value
        if not value or not all(isinstance(each, str) for each in value):
            raise wrong('a name, such as "T4", or a list of names in order of preference')
        return tuple(value)
    if name in ("env", "volumes"):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise wrong("a dict whose keys are str")
        if name == "env" and not all(isinstance(each, str) for each in value.values()):
            raise wrong("a dict of str to str")
        return tuple(sorted(value.items(), key=lambda pair: pair[0]))
    if name == "seed":
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32):
            raise wrong("a whole number from 0 to 4294967295")
        return value
    if name == "secrets":
        return (value,) if isinstance(value, str) else tuple(value)
    if name in ("timeout", "cpu", "memory", "retries", "max_containers"):
        whole, least = name in ("memory", "retries", "max_containers"), 0 if name == "retries" else 1e-9
        if value is None and name in ("cpu", "memory"):
            return None
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value < least:
            raise wrong(f"a whole number, {math.ceil(least)} or more" if whole else "a positive number")
    return value


def one_of(name: object, known: Sequence[str]) -> str:
    """Return the remedy for a name that is not among the known ones."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


def declaration_error(what: str, where: str, remedy: str) -> DeclarationError:
    """Return an error in three parts."""
    return DeclarationError(three_parts(what, where, remedy))
