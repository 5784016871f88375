"""Digests of text."""

from __future__ import annotations

import hashlib


def digest_of(*parts: str) -> str:
    """Return a short content hash of texts, in order."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
