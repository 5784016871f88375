"""Requirements of an image."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Requirements:
    """What an image installs.

    Attributes
    ----------
    packages : tuple of str
        Requirements, sorted; ``name==version`` where the version is known.
    notes : tuple of str
        What could not be pinned, and what is left out, and why.
    names : frozenset of str
        Normal names of the distributions among them that were derived.
    """

    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: frozenset[str] = field(default=frozenset(), compare=False)
