"""Masks over secrets: what leaves a container, and what is shown and kept, holds asterisks in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_modal.remote import data
from pytest_modal.remote.framing import Buffers, PythonWarning

MASK = "***"
SHORTEST_SECRET = 6  # of variables that look secret; shorter texts occur in data by chance
_SHORTEST = 8  # of others that a Modal Secret may have set
_LOOKS_SECRET = re.compile(
    "TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE|CREDENTIAL|AUTH(?!OR)|(^|_)(KEYS?|PAT|DSN)$|_PWD$",
    re.IGNORECASE,
)
_NAMES_A_PLACE = re.compile("_(SOCK|PATH|FILE|DIR|HOME)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
# What a container has that no Secret has brought.
_EVERYDAY = (
    "MODAL_*", "PYTHON*", "PIP_*", "UV_*", "LC_*", "CUDA_*", "NVIDIA_*", "NV_*", "NCCL_*", "OMP_*", "MKL_*", "HF_HOME",
    "HF_XET_*", "TORCH_*", "DEBIAN_FRONTEND", "PATH", "HOME", "PWD", "OLDPWD", "SHELL", "TERM", "LANG", "TMPDIR",
    "USER", "LOGNAME", "HOSTNAME", "LD_*", "SSL_*", "GRPC_*", "TZ", "_", "PYTEST_*",
)  # fmt: skip
_PLAIN = re.compile(r"true|false|none|[\d.]+", re.IGNORECASE)
_PIECE = 1 << 24  # bytes that are searched at a time


@dataclass(frozen=True)
class SecretNames:
    """Which environment variables are secret.

    Attributes
    ----------
    patterns : tuple of str
        Names or patterns of more of them; with a "!" before it, of variables that are not.
    public : tuple of str or None
        In a container with Modal Secrets, the names of variables that something else has set; all others are secret.
    """

    patterns: tuple[str, ...] = ()
    public: tuple[str, ...] | None = None

    def among(self, variables: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those variables that are secret."""
        return [(name, value) for name, value in variables if self.is_secret(name, value)]

    def is_secret(self, name: str, value: str) -> bool:
        """Whether a variable is secret."""
        if len(value) < SHORTEST_SECRET or _PLAIN.fullmatch(value):
            return False
        if any(fnmatchcase(name, pattern[1:]) for pattern in self.patterns if pattern.startswith("!")):
            return False
        if any(fnmatchcase(name, pattern) for pattern in self.patterns):
            return True
        if (_LOOKS_SECRET.search(name) and not _NAMES_A_PLACE.search(name)) or _PASSWORD.search(value):
            return True
        if self.public is None or len(value) < _SHORTEST:
            return False
        is_known = name in self.public or any(fnmatchcase(name, pattern) for pattern in _EVERYDAY)
        return not is_known and not _is_path(value)


def _is_path(value: str) -> bool:
    try:
        return value.startswith("/") and Path(value.partition(":")[0]).exists()
    except (OSError, ValueError):
        return False


class Masks:
    """Finds secrets and replaces them.

    Parameters
    ----------
    secrets : iterable of (str, str)
        The names of variables and their values.
    """

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        self._names: dict[str, str] = {}  # by each form in which a secret is written
        for name, value in secrets:
            for secret in _parts(value):
                # As it is, as `repr` shows it, and as JSON has it.
                quoted = (repr(secret), json.dumps(secret), json.dumps(secret, ensure_ascii=False))
                self._names |= dict.fromkeys((secret, *(each[1:-1] for each in quoted)), name)
        self._forms = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))
        self._longest = max(map(len, self._forms), default=0) * 4
        self._needles = [(self._names[form], *needle) for form in self._forms for needle in _needles(form)]

    def __bool__(self) -> bool:
        return bool(self._forms)

    def are_in(self, text: str) -> bool:
        """Whether a text, or what it is the JSON of, has a secret in it."""
        return any(form in text for form in self._forms)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return self._pattern.sub(MASK, text) if self._forms else text

    def raw(self, printed: bytes) -> bytes:
        """Return what was printed, without secrets."""
        for form in self._forms:
            printed = printed.replace(form.encode("utf-8", "backslashreplace"), MASK.encode())
        return printed

    def plain(self, value: Any) -> Any:
        """Return data as it describes an outcome, without secrets in its texts; what names things stays."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: each if _names_things(key) else self.plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.plain, value))
        return value

    def held(self, value: Sequence[bytes | memoryview]) -> str | None:
        """Return the name of a secret that encoded data holds."""
        for buffer in value if self._needles else ():
            view = memoryview(buffer).cast("B")
            for start in range(0, len(view), _PIECE):
                piece = bytes(view[start : start + _PIECE + self._longest])
                for name, needle, _ in self._needles:
                    if needle in piece:
                        return name
        return None

    def encoded(self, value: Sequence[bytes | memoryview]) -> tuple[Buffers, list[str]]:
        """Return encoded data in which asterisks are in place of secrets, and the names of those that were there.

        The asterisks are as many as the characters that they replace: the sizes of arrays stay.
        """
        buffers: Buffers = [*value]
        found: dict[str, None] = {}
        if not self._forms or not buffers:
            return buffers, []
        for place, buffer in enumerate(buffers):
            changed = self._covered(memoryview(buffer).cast("B"), found)
            if changed is not None:
                buffers[place] = data.resealed(changed) if place == 0 else bytes(changed)
        return buffers, [*found]

    def _covered(self, view: memoryview, found: dict[str, None]) -> bytearray | None:
        changed: bytearray | None = None
        for name, needle, cover in self._needles:
            for at in _places(view if changed is None else memoryview(changed), needle):
                changed = bytearray(view) if changed is None else changed
                changed[at : at + len(needle)] = cover
                found[name] = None
        return changed


def _parts(value: str) -> Iterator[str]:
    yield from {value, value.strip()}
    if (password := _PASSWORD.search(value)) and len(password[1]) >= SHORTEST_SECRET:
        yield password[1]


def _names_things(key: object) -> bool:
    return key in ("key", "call", "status", "phase", "container", "container_key", "process", "frames", "categories")


def _needles(form: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the bytes in which encoded data has a text, each with as many asterisks."""
    for encoding in ("utf-8", "utf-32-le", "utf-32-be"):  # the last two in arrays
        needle, star = form.encode(encoding, "surrogatepass"), "*".encode(encoding)
        yield needle, star * (len(needle) // len(star))
    plain = form.encode("utf-8", "surrogatepass")
    yield plain.hex().encode(), b"2a" * len(plain)


def _places(view: memoryview, needle: bytes) -> Iterator[int]:
    """Yield where bytes are, without copying all of a large buffer."""
    found = []
    for start in range(0, len(view), _PIECE):
        piece = bytes(view[start : start + _PIECE + len(needle) - 1])
        at = piece.find(needle)
        while at >= 0:
            found.append(start + at)
            at = piece.find(needle, at + len(needle))
    yield from found


def warning_of(label: str, names: Sequence[str]) -> PythonWarning:
    """Return the warning about a result that held secrets."""
    message = (
        f"the result of {label} held what is secret, the value of {', '.join(names)}: asterisks are in its place; "
        "return results only, or say in modal_secret_variables what is not secret, as !NAME"
    )
    return {
        "categories": ["builtins.UserWarning", "builtins.Warning"],
        "message": message,
        "file": "pytest-modal",
        "line": 1,
        "module": "pytest_modal",
    }
