"""A construct: a small project, its functions, and what these give in a container."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Returns:
    """A function gives this there: the `repr` of its value, tensors and arrays as lists."""

    value: str

    def agrees(self, outcome: Mapping[str, str]) -> bool:
        """Return whether this is what happened."""
        return outcome.get("returned") == self.value


@dataclass(frozen=True)
class Raises:
    """A function raises this there: ``type: message``."""

    error: str

    def agrees(self, outcome: Mapping[str, str]) -> bool:
        """Return whether this is what happened."""
        return outcome.get("raised") == self.error


@dataclass(frozen=True)
class Refused:
    """A function is refused at planning, by a message that names these: the object, and where it stands."""

    names: tuple[str, ...]

    def agrees(self, outcome: Mapping[str, str]) -> bool:
        """Return whether this is what happened."""
        return "refused" in outcome and all(name in outcome["refused"] for name in self.names)


Expected = Returns | Raises | Refused


@dataclass(frozen=True)
class Construct:
    """A project and its functions, which give in a container what they give here, unless `expected` says otherwise.

    Attributes
    ----------
    name : str
        The id of the test.
    files : mapping
        The files of the project, by their path under its root.
    functions : tuple of str
        ``module:name``; the name may be a pattern.
    expected : mapping
        By ``module:name``, what differs there from here.
    imported_before : tuple of str
        Modules that planning imports first, as pytest imports a conftest.
    needs : tuple of str
        Packages without which the test is skipped.
    required : mapping
        By ``module:name``, the packages that it requires although they are not installed here.
    optional : mapping
        By ``module:name``, the packages that it would use, and is shipped without.
    packages_here : mapping
        Files of packages that are installed here and not there, by their path.
    env, env_there : mapping
        Environment variables of the planning machine, of the container.
    local_packages : tuple of str
        Packages whose source travels as it is.
    """

    name: str
    files: Mapping[str, str]
    functions: tuple[str, ...] = ("main:f",)
    expected: Mapping[str, Expected] = field(default_factory=dict)
    imported_before: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    required: Mapping[str, set[str]] = field(default_factory=dict)
    optional: Mapping[str, set[str]] = field(default_factory=dict)
    packages_here: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    env_there: Mapping[str, str] = field(default_factory=dict)
    local_packages: tuple[str, ...] = ()

    def write(self, project: Path, packages: Path) -> None:
        """Write the project, and the packages that are installed here only."""
        for root, files in ((project, self.files), (packages, self.packages_here)):
            for name, text in files.items():
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text).lstrip("\n"))
