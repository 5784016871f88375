"""Names of files that every system takes, told apart by a hash where making them safe changed them."""

from __future__ import annotations

import hashlib
import re

LONGEST_NAME = 100


def short_digest(text: str) -> str:
    """Return eight hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def safe_name(name: str) -> str:
    """Return `name` as a file name that every system and upload takes, with a hash if that changed it."""
    safe = re.sub(r"[^A-Za-z0-9._+=,@()\[\]-]", "_", name)[:LONGEST_NAME].rstrip(".")
    if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.IGNORECASE):
        safe = f"_{safe}"  # a device on Windows, whatever its suffix
    return safe if safe == name else f"{safe[: LONGEST_NAME - 9] or '_'}-{short_digest(name)}"
