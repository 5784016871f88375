"""Environment variables of this machine: the value of none may travel."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pytest_modal.code.units import words
from pytest_modal.remote.masks import SecretNames

SHORTEST = 8  # shorter texts occur in data by chance
# What everybody has, and what says nothing.
_EVERYDAY = words("HOME PWD OLDPWD PATH SHELL TERM LANG TMPDIR USER LOGNAME HOSTNAME PYTHONPATH VIRTUAL_ENV")
_DEEPEST = 50


def held_variable(value: object, *, asked: bool = False) -> str | None:
    """Return the name of an environment variable whose value is in a value, or in the bytes of its pickle.

    Parameters
    ----------
    asked : bool
        Whether the value was made by code that asks the environment: then all variables count, and not only those
        whose names say that they are secret.
    """
    texts, secret = list(_texts(value, 0)), SecretNames()
    for name, says in os.environ.items():
        counts = asked and len(says) >= SHORTEST and name not in _EVERYDAY and not name.startswith("PYTEST_")
        if (counts or secret.is_secret(name, says)) and any(says in each for each in texts):
            return name
    return None


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif depth < _DEEPEST and isinstance(value, dict):
        for pair in value.items():
            yield from _texts(pair, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each, depth + 1)
