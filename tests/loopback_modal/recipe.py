"""Reads image definitions: Dockerfile commands, as the client writes them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

INSTALL = re.compile(r"^(?:\S*/)?(?:uv pip|pip3?|python3? -m pip) install\s+(?P<arguments>.*)$", re.DOTALL)
PYTHON_TAG = re.compile(r"^(?:docker\.io/)?(?:library/)?python:(?P<version>\d+\.\d+)")
# Options of pip and uv that are followed by a value.
WITH_VALUE = {
    "-c",
    "--constraint",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--index",
    "--index-strategy",
    "--index-url",
    "-i",
    "--prerelease",
    "--python",
    "-p",
    "--target",
    "--torch-backend",
    "--trusted-host",
}


class BuildError(Exception):
    """The build of an image fails, with this as the end of its log."""


@dataclass
class Recipe:
    """What the commands of one layer mean here."""

    requirements: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    copies_to: str = ""  # `COPY . DIR` of the files that came along
    ignored: list[str] = field(default_factory=list)  # nothing a process on this machine can do about them
    python: str = ""


def read(commands: list[str], files: Mapping[str, bytes]) -> Recipe:
    """Read one layer's commands; `files` are those of the build context, by the name that COPY uses."""
    recipe = Recipe()
    copied: dict[str, bytes] = {}  # where in the image -> content
    for command in commands:
        word, _, rest = command.strip().partition(" ")
        rest = rest.strip()
        if word == "FROM":
            _read_from(rest, recipe)
        elif word == "ENV":
            _read_env(rest, recipe)
        elif word == "COPY" and rest.startswith(". "):
            recipe.copies_to = rest[2:].strip()
        elif word == "COPY" and not rest.startswith("--"):
            source, _, target = rest.partition(" ")
            if source in files:
                copied[target.strip()] = files[source]
        elif word == "RUN" and (match := INSTALL.match(rest)):
            recipe.requirements += _read_install(match["arguments"], copied)
        elif command.strip():
            recipe.ignored.append(command)
    return recipe


def _read_from(tag: str, recipe: Recipe) -> None:
    match = PYTHON_TAG.match(tag)
    if match is None:
        return
    recipe.python = match["version"]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if recipe.python != here:
        raise BuildError(f"The loopback server has Python {here} only; the image asks for {recipe.python}")


def _read_env(rest: str, recipe: Recipe) -> None:
    for pair in shlex.split(rest):
        name, equals, value = pair.partition("=")
        if equals:
            recipe.env[name] = value
            continue
        recipe.env[name] = rest.partition(" ")[2].strip()  # the old form, `ENV NAME value`
        return


def _read_install(arguments: str, copied: Mapping[str, bytes]) -> list[str]:
    words = shlex.split(arguments.replace("$(command -v python)", "python"))
    if "--upgrade" in words and {"pip", "wheel", "uv"} & set(words):
        return []  # the base image's own tools
    requirements = []
    rest = iter(words)
    for word in rest:
        if word in ("-r", "--requirement", "--requirements"):
            requirements += _read_requirements(copied.get(next(rest, ""), b""))
        elif word in WITH_VALUE:
            next(rest, None)
        elif word.startswith(("git+", "http://", "https://", "./", "/")) or word in ("-e", "--editable"):
            raise BuildError(f"The loopback server can't install {word}: it has no network")
        elif not word.startswith("-"):
            requirements.append(word)
    return requirements


def _read_requirements(content: bytes) -> list[str]:
    lines = (line.split(" #")[0].strip() for line in content.decode("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]
