"""Distributions that are not really installed: directories of metadata, and empty modules."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def install(
    site: Path,
    name: str,
    version: str,
    *modules: str,
    direct_url: object = None,
    top_level: Iterable[str] = (),
    requires: Iterable[str] = (),
    extras: Iterable[str] = (),
) -> None:
    """Put a distribution where Python finds it.

    Parameters
    ----------
    modules : str
        The files that it has, relative to `site`.
    direct_url : object
        Where it was installed from, unless it was an index.
    top_level : iterable of str
        Modules that it says it has, as setuptools does for those that are developed elsewhere.
    requires : iterable of str
        What it requires.
    extras : iterable of str
        What can be asked of it besides.
    """
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    head += [f"Provides-Extra: {each}" for each in extras] + [f"Requires-Dist: {each}" for each in requires]
    (info / "METADATA").write_text("\n".join([*head, "", "Requires-Dist: a-description", ""]))
    for module in modules:
        path = site / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in (*modules, f"{info.name}/METADATA")))
    if top_level:
        (info / "top_level.txt").write_text("\n".join(top_level))
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
