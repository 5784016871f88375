"""Names of Modal's GPUs: a misspelt one is found before anything is sent."""

from __future__ import annotations

import difflib

AS_OF = "November 2026"
# Name, and how many of it one container gets at most; https://modal.com/docs/guide/gpu
GPUS = {
    "T4": 8,
    "L4": 8,
    "A10": 4,
    "A10G": 4,
    "L40S": 8,
    "A100": 8,
    "A100-40GB": 8,
    "A100-80GB": 8,
    "RTX-PRO-6000": 8,
    "H100": 8,
    "H100!": 8,
    "H200": 8,
    "B200": 8,
    "B200+": 8,
    "B300": 8,
    "ANY": 8,
}
_OLD = ("A10G", "ANY")  # still accepted, no longer in the guide
_KNOWN = [name for name in GPUS if name not in _OLD]


def wrong_gpu(given: str) -> tuple[str, str] | None:
    """Return what is wrong with a GPU, such as ``"H100:4"``, and what to write; None for one that Modal has.

    A name that ends in ``!`` is not looked up: the list here is older than Modal's next GPU.
    """
    name, colon, number = given.partition(":")
    known = name.upper()
    if known not in GPUS:
        if name.endswith("!") and name != "!":
            known = ""
        else:
            return f"{given!r} is not a GPU of Modal", _suggestion(name, colon + number)
    most = GPUS.get(known)
    if colon and (not number.isascii() or not number.isdecimal() or int(number) < 1):
        return f"{given!r} has no number of GPUs after the colon", f"write a whole number, such as {name}:2"
    if number and most is not None and int(number) > most:
        return f"{given!r}: a container gets at most {most} GPUs of type {name}", f"write {name}:{most} or fewer"
    return None


def as_modal_takes(given: str) -> str:
    """Return a GPU as Modal takes it: without the ``!`` that only marks a name as right."""
    name, colon, number = given.partition(":")
    return given if name.upper() in GPUS else name.removesuffix("!") + colon + number


def _suggestion(name: str, number: str) -> str:
    close = difflib.get_close_matches(name.upper(), _KNOWN, n=1, cutoff=0.5)
    known = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(_KNOWN)}"
    if not name.strip():
        return f"{known}, or gpu=None for none"
    separator = "" if known.endswith("?") else ";"
    return f"{known}{separator} for a GPU newer than this list ({AS_OF}), write gpu={name + '!' + number!r}"
