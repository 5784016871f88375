"""Pins: how an image installs the distributions that are installed here, from where they came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pytest_modal.code.companions import VARIANTS
from pytest_modal.code.inventory import inventory
from pytest_modal.remote.installed import canonical

_HASH = re.compile(r"[a-z0-9]+=[0-9a-f]+")


class Pin(NamedTuple):
    """How an image installs a distribution.

    Attributes
    ----------
    requirement : str
        Such as ``name==version``; empty where an image can't install it.
    note : str
        What users should know of it.
    refused : str
        Why an image can't install it: "is installed from ...".
    """

    requirement: str = ""
    note: str = ""
    refused: str = ""


def pin(name: str, extras: Iterable[str] = (), versions: str = "") -> Pin:
    """Return how an image installs a distribution as it is installed here.

    One that came from elsewhere than an index is never asked of an index: there, its name may be somebody else's.

    Parameters
    ----------
    extras : iterable of str
        What is asked of it besides.
    versions : str
        Which versions will do where none is installed here: ``>=2.1``.
    """
    version, normal = inventory().version(name), canonical(name)
    asked = f"[{','.join(extras)}]" if extras else ""
    if normal in VARIANTS:
        other, because = VARIANTS[normal]
        note = f"{other} is installed in the place of {normal}: {because}"
        return Pin(f"{other}{asked}=={version.partition('+')[0]}" if version else f"{other}{asked}{versions}", note)
    if version is None:
        return Pin(f"{name}{asked}{versions}", f"{name} is not installed on this machine, so its version is not pinned")
    origin = inventory().origin(name)
    if not origin:
        # A local label such as +cpu is of this machine's build; no index has it.
        return Pin(f"{normal}{asked}=={version.partition('+')[0]}")
    if "dir_info" in origin:
        editable = origin["dir_info"].get("editable") is True
        return Pin(refused=f"is installed {'as editable ' if editable else ''}from a directory of this machine")
    url, had_more = _for_others(urlsplit(origin["url"]))
    if url.scheme in ("file", ""):
        return Pin(refused=f"is installed from a file of this machine, {url.path.rpartition('/')[2]}")
    note = f"{name} comes from {urlunsplit(url)} without the credentials that its URL has here: the image needs access"
    return _from_url(normal + asked, url, origin, note if had_more else "")


def _from_url(name: str, url: SplitResult, origin: Mapping[str, Any], note: str) -> Pin:
    vcs = origin.get("vcs_info")
    if vcs is None:
        return Pin(f"{name} @ {urlunsplit(url)}{_fragment(_hash(origin.get('archive_info')), origin)}", note)
    if vcs.get("vcs") != "git" or not vcs.get("commit_id"):
        return Pin(refused=f"is installed from a repository of {vcs.get('vcs')}, which images can't install")
    return Pin(f"{name} @ git+{urlunsplit(url)}@{vcs['commit_id']}{_fragment('', origin)}", note)


def _for_others(url: SplitResult) -> tuple[SplitResult, bool]:
    """Return a URL without credentials, and whether it had some: in front of the host, or as a query."""
    user, _, host = url.netloc.rpartition("@")
    # A server asks for the user with ssh, and gives nothing without the key.
    kept = f"{user.partition(':')[0]}@{host}" if user and url.scheme == "ssh" else host
    return url._replace(netloc=kept, query="", fragment=""), kept != url.netloc or bool(url.query)


def _hash(archive: Mapping[str, Any] | None) -> str:
    hashes = [f"{kind}={value}" for kind, value in sorted((archive or {}).get("hashes", {}).items())]
    found = [*(each for each in hashes if each.startswith("sha256=")), str((archive or {}).get("hash", "")), *hashes]
    return next((each for each in found if _HASH.fullmatch(each)), "")


def _fragment(digest: str, origin: Mapping[str, Any]) -> str:
    subdirectory = origin.get("subdirectory")
    parts = [each for each in (digest, f"subdirectory={subdirectory}" if subdirectory else "") if each]
    return f"#{'&'.join(parts)}" if parts else ""


def needs_git(requirement: str) -> bool:
    """Whether git has to be there before a requirement can be installed."""
    return "git+" in requirement.partition("#")[0]
