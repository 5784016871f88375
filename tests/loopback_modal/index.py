"""What can be installed: exactly the distributions that are installed here, from where they came. No network is asked.

An index has those that are installed here, each in its one version. A URL has what was installed here from that URL, as
the distribution itself reports (PEP 610). Everything else has no solution, with a text like uv's.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

CLIENT = "modal"
_URL = re.compile(r"(git\+)?(https?|ssh|git)://")
_HINT = "  (The loopback server builds images from what is installed on this machine: {}.)"


class NoSolutionError(Exception):
    """A requirement that cannot be met from what is installed here; the text is shaped like uv's."""


@dataclass
class Closure:
    """Distributions with all that they require."""

    names: dict[str, str] = field(default_factory=dict)  # canonical name -> version
    absent: set[str] = field(default_factory=set)  # required by one of them, but not installed here either


@cache
def installed() -> dict[str, metadata.Distribution]:
    """Return the distributions of this environment, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        if name := distribution.metadata["Name"]:
            found.setdefault(canonicalize_name(name), distribution)
    return found


def resolve(requirements: Iterable[str], constraints: Iterable[str] = ()) -> Closure:
    """Return the closure of the requirements, or raise `NoSolutionError` with what a resolver would say."""
    closure = Closure()
    for text in requirements:
        if _URL.match(text):
            _add(Requirement(_from(text)), closure)
            continue
        requirement = _parsed(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement.url is None:
            _check(requirement)
        elif _from(requirement.url) != canonicalize_name(requirement.name):
            raise NoSolutionError(f"  × Package metadata name does not match given name `{requirement.name}`: {text}")
        _add(requirement, closure)
    for requirement in map(_parsed, constraints):
        if canonicalize_name(requirement.name) in closure.names and requirement.url is None:
            _check(requirement)
    return closure


def client_closure() -> Closure:
    """Return what Modal itself brings into every container."""
    closure = Closure()
    _add(Requirement(CLIENT), closure)  # from wherever this one is
    return closure


def _parsed(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise NoSolutionError(f"error: Failed to parse: `{text}`: {error}") from error


def _check(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    distribution = installed().get(name)
    if distribution is None or _origin(distribution):
        where = f"{name} is from {_origin(distribution)['url']}" if distribution else f"{name} is not"
        raise NoSolutionError(
            "  × No solution found when resolving dependencies:\n"
            f"  ╰─▶ Because {name} was not found in the package registry and you require {name}, we can\n"
            f"      conclude that your requirements are unsatisfiable.\n{_HINT.format(where)}"
        )
    if not requirement.specifier.contains(distribution.version, prereleases=True):
        raise NoSolutionError(
            "  × No solution found when resolving dependencies:\n"
            f"  ╰─▶ Because there is no version of {name}{requirement.specifier} and you require\n"
            f"      {name}{requirement.specifier}, we can conclude that your requirements are unsatisfiable.\n"
            f"{_HINT.format(f'{name} is {distribution.version}')}"
        )


def _from(text: str) -> str:
    """Return the name of what was installed here from a URL, or raise `NoSolutionError`."""
    wanted, is_git = urlsplit(text.removeprefix("git+")), text.startswith("git+")
    for name, distribution in installed().items():
        origin = _origin(distribution)
        if origin and ("vcs_info" in origin) == is_git and (_is_commit if is_git else _is_archive)(wanted, origin):
            return name
    raise NoSolutionError(
        f"  × Failed to download `{text}`\n  ╰─▶ client error (Connect)\n{_HINT.format('nothing is from there')}"
    )


def _origin(distribution: metadata.Distribution) -> Any:
    """Return from where a distribution was installed, if it wasn't from an index."""
    return json.loads(distribution.read_text("direct_url.json") or "null")


def _is_commit(wanted: SplitResult, origin: dict[str, Any]) -> bool:
    # ssh://git@host/path@revision: the revision comes after the path, and may be left out.
    path, _, revision = wanted.path.partition("@")
    subdirectory = parse_qs(wanted.fragment).get("subdirectory", [""])[0]
    known = {origin["vcs_info"].get(name) for name in ("commit_id", "requested_revision")}
    same_place = _place(wanted._replace(path=path)) == _place(urlsplit(origin["url"]))
    return same_place and subdirectory == origin.get("subdirectory", "") and (not revision or revision in known)


def _is_archive(wanted: SplitResult, origin: dict[str, Any]) -> bool:
    if _place(wanted) != _place(urlsplit(origin["url"])):
        return False
    archive = origin.get("archive_info") or {}
    known = dict(archive.get("hashes") or [str(archive.get("hash") or "=").split("=", 1)])
    for kind, (digest, *_) in parse_qs(wanted.fragment).items():
        if kind in known and known[kind] != digest:
            raise NoSolutionError(
                f"  × Failed to download `{wanted.geturl()}`\n  ╰─▶ Hash mismatch\n\n"
                f"      Expected:\n        {kind}:{digest}\n\n      Computed:\n        {kind}:{known[kind]}"
            )
    return True


def _place(url: SplitResult) -> tuple[str, str, str]:
    """Return where a URL leads, whoever asks."""
    return url.scheme, url.netloc.rpartition("@")[2], url.path


def _add(requirement: Requirement, closure: Closure) -> None:
    first = canonicalize_name(requirement.name)
    todo = [(first, frozenset(requirement.extras))]
    seen = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = installed().get(name)
        if distribution is None:
            closure.absent.add(name)
            continue
        closure.names[name] = distribution.version
        for text in distribution.requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                if name == first and marker is not None and not marker.evaluate({"extra": ""}):
                    _check(needed)  # an extra that was asked for; of the rest, what works here works there
                todo.append((canonicalize_name(needed.name), frozenset(needed.extras)))
