"""Reads `pip install` and `uv pip install`: which requirements a command of an image's build has, in which form."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

# Options of pip and uv that are followed by a value.
_WITH_VALUE = """
    -C --config-setting --config-settings -b --build-constraint --build-constraints --cache-dir --cert --config-file
    --default-index --exclude-newer --exists-action --extra --extra-index-url -f --find-links --fork-strategy --group -i
    --implementation --index --index-strategy --index-url --keyring-provider --link-mode --log --no-binary
    --no-build-isolation-package --no-build-package --only-binary --override --overrides -P --platform --prefix
    --prerelease --progress-bar --proxy -p --python --python-platform --python-version --refresh-package
    --reinstall-package --report --resolution --retries --root --root-user-action -t --target --timeout --torch-backend
    --trusted-host --upgrade-package
    """
_FILES = {"-r": "", "--requirement": "", "--requirements": "", "-c": "constraint", "--constraint": "constraint"}
_FILES["--constraints"] = "constraint"
_TOOLS = {"pip", "setuptools", "uv", "wheel"}  # the base image's own
_OF_THIS_MACHINE = ("./", "../", "/", "~", "file:")


class BuildError(Exception):
    """The build of an image fails, with this as the end of its log."""


def steps(command: str) -> Iterator[list[str]]:
    """Yield the words of each program that a `RUN` starts, without variables that are set for it alone."""
    lexer = shlex.shlex(command.replace("$(command -v python)", "python"), posix=True, punctuation_chars="&;|")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("&;|"):
            if words:
                yield words
            words = []
        elif words or not re.match(r"--|\w+=", word):
            words.append(word)


def arguments_of_install(words: Sequence[str]) -> list[str] | None:
    """Return what follows ``pip install``; None where the words are another command."""
    program, *rest = words
    name = PurePath(program).name
    if re.fullmatch(r"python[\d.]*", name) and rest[:2] == ["-m", "pip"]:
        name, rest = "pip", rest[2:]
    if name == "uv" and rest[:1] == ["pip"]:
        name, rest = "pip", rest[1:]
    return rest[1:] if re.fullmatch(r"pip[\d.]*", name) and rest[:1] == ["install"] else None


def brings_git(words: Sequence[str]) -> bool:
    """Whether a command installs git as a program."""
    managers = {"apk", "apt", "apt-get", "conda", "dnf", "mamba", "micromamba", "yum"}
    return PurePath(words[0]).name in managers and bool({"add", "install"} & set(words)) and "git" in words


def requirements(arguments: Sequence[str], files: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
    """Return the requirements and the constraints of an install; `files` are those of the image, by their path.

    Raises
    ------
    BuildError
        A file isn't there, or something of this machine is to be installed.
    """
    found: dict[str, list[str]] = {"": [], "constraint": []}
    rest = iter(arguments)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in _FILES:
            path = value if equals else next(rest, "")
            found[_FILES[option]] += _of_file(path, files)
        elif word in _WITH_VALUE.split():
            next(rest, None)
        elif word in ("-e", "--editable"):
            raise _not_there(next(rest, ""))
        elif not word.startswith("-"):
            found[""].append(_checked(word))
    tools = {re.split(r"[\W]", text)[0] for text in found[""]} <= _TOOLS and "--upgrade" in arguments
    return [] if tools else found[""], found["constraint"]


def _of_file(path: str, files: Mapping[str, bytes]) -> list[str]:
    if path not in files:
        raise BuildError(f"error: File not found: `{path}`")
    text = files[path].decode("utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        line = re.sub(r"(^|\s+)#.*", "", line).strip()
        option, _, value = line.partition(" ")
        if option in _FILES:  # a file beside the first isn't in the image
            raise BuildError(f"error: File not found: `{value.strip()}`")
        if option in ("-e", "--editable"):
            raise _not_there(value.strip())
        if line and not line.startswith("-"):
            found.append(_checked(re.split(r"\s+--", line)[0]))  # --hash=... are options of the line
    return found


def _checked(text: str) -> str:
    target = text.partition("@")[2].strip() if re.match(r"[\w.-]+(\[.*?\])?\s*@", text) else text
    if target.startswith(_OF_THIS_MACHINE) or target == ".":
        raise _not_there(target)
    return text


def _not_there(path: str) -> BuildError:
    return BuildError(f"error: Distribution not found at: {path}\n  (The loopback server builds nothing from files.)")
